// Package s3gw tries the S3 driver of tiering/objstore with an S3 server. It is a
// module of its own, so that the server's many dependencies stay out of Varve's.
//
// The server is a gateway inside the test process, over a temporary directory;
// or the one at S3_TEST_ENDPOINT, with S3_TEST_ACCESS_KEY and S3_TEST_SECRET_KEY,
// in whose bucket S3_TEST_BUCKET ("varve-test") the tests write below a prefix of
// their own.
package s3gw
