package objstore

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// s3Codes are the error codes that say more than the HTTP status, or come
// without one.
var s3Codes = map[string]error{
	"NoSuchKey":                     ErrNotFound,
	"NotFound":                      ErrNotFound,
	"NoSuchUpload":                  ErrNotFound,
	"NoSuchBucket":                  ErrInvalid,
	"PreconditionFailed":            ErrConflict,
	"BucketAlreadyOwnedByYou":       ErrConflict,
	"BucketAlreadyExists":           ErrDenied, // it is someone else's
	"InvalidRange":                  ErrShort,
	"ConditionalRequestConflict":    ErrUnavailable, // another put is under way
	"OperationAborted":              ErrUnavailable,
	"RequestTimeout":                ErrUnavailable,
	"SlowDown":                      ErrUnavailable,
	"ServiceUnavailable":            ErrUnavailable,
	"InternalError":                 ErrUnavailable,
	"BadDigest":                     ErrUnavailable, // damaged on the way
	"XAmzContentChecksumMismatch":   ErrUnavailable,
	"XAmzContentSHA256Mismatch":     ErrUnavailable,
	"IncompleteBody":                ErrUnavailable,
	"NotImplemented":                ErrInvalid,
	"AuthorizationHeaderMalformed":  ErrInvalid, // the wrong region
	"InvalidAccessKeyId":            ErrDenied,
	"SignatureDoesNotMatch":         ErrDenied,
	"ExpiredToken":                  ErrDenied,
	"InvalidToken":                  ErrDenied,
	"XMinioServerNotInitialized":    ErrUnavailable,
	"XMinioStorageFull":             ErrUnavailable,
	"XMinioParentIsObject":          ErrInvalid,
	"XMinioObjectExistsAsDirectory": ErrInvalid,
}

// classifyS3 makes an error of the package out of the SDK's. Of its text only
// what the server or the network said is kept, without the given secrets.
func classifyS3(op, key string, err error, secrets []string) error {
	kind, detail := kindOfS3(err)
	return newError(op, key, kind, redactSecrets(detail, secrets))
}

func kindOfS3(err error) (kind error, detail string) {
	status := 0
	var re *awshttp.ResponseError
	if errors.As(err, &re) {
		status = re.HTTPStatusCode()
	}
	var ae smithy.APIError
	if errors.As(err, &ae) {
		detail = strings.TrimSpace(ae.ErrorCode() + " " + statusText(status) + " " + ae.ErrorMessage())
		if kind, ok := s3Codes[ae.ErrorCode()]; ok {
			return kind, detail
		}
		return kindOfStatus(status), detail
	}
	var params smithy.InvalidParamsError
	if errors.As(err, &params) {
		return ErrInvalid, "parameters"
	}
	if status != 0 && status/100 != 2 {
		return kindOfStatus(status), statusText(status)
	}
	detail = networkText(err)
	if noCredentials(err) {
		return ErrDenied, "no credentials"
	}
	return ErrUnavailable, detail
}

// kindOfStatus classifies an answer that has no known code, as those to HEAD,
// which have no body.
func kindOfStatus(status int) error {
	switch status {
	case http.StatusNotFound:
		return ErrNotFound
	case http.StatusPreconditionFailed:
		return ErrConflict
	case http.StatusRequestedRangeNotSatisfiable:
		return ErrShort
	case http.StatusUnauthorized, http.StatusForbidden:
		return ErrDenied
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusTooEarly, http.StatusConflict:
		return ErrUnavailable
	case http.StatusNotImplemented:
		return ErrInvalid
	}
	if status >= 300 && status < 500 {
		return ErrInvalid
	}
	return ErrUnavailable
}

func statusText(status int) string {
	if status == 0 {
		return ""
	}
	return "(HTTP " + strconv.Itoa(status) + ")"
}

// networkText is what the network said, without the request's URL.
func networkText(err error) string {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err.Error()
	}
	return "no valid answer"
}

// noCredentials tells whether a request could not be signed for want of
// credentials, as against a service of credentials that is out of reach.
func noCredentials(err error) bool {
	var ne net.Error
	return !errors.As(err, &ne) && strings.Contains(err.Error(), "get credentials")
}

func redactSecrets(s string, secrets []string) string {
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "redacted")
		}
	}
	return s
}
