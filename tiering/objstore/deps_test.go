package objstore
import (
 _ "gocloud.dev/blob"
 _ "gocloud.dev/blob/memblob"
 _ "gocloud.dev/blob/s3blob"
 _ "gocloud.dev/gcerrors"
 _ "github.com/aws/aws-sdk-go-v2/service/s3"
 _ "github.com/aws/aws-sdk-go-v2/config"
 _ "github.com/aws/aws-sdk-go-v2/credentials"
)
