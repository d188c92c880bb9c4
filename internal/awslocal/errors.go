package awslocal

import (
	"fmt"
	"net/http"
)

// apiError is a refusal with AWS's code and HTTP status.
type apiError struct {
	status  int
	code    string
	message string
}

func refuse(status int, code, format string, args ...any) *apiError {
	return &apiError{status, code, fmt.Sprintf(format, args...)}
}

func validationError(format string, args ...any) *apiError {
	return refuse(http.StatusBadRequest, "ValidationError", format, args...)
}

func incompleteSignature(format string, args ...any) *apiError {
	return refuse(http.StatusBadRequest, "IncompleteSignature", format, args...)
}

func signatureMismatch(format string, args ...any) *apiError {
	return refuse(http.StatusForbidden, "SignatureDoesNotMatch", format, args...)
}

func accessDenied(who principal, action, resource string) *apiError {
	return refuse(http.StatusForbidden, "AccessDenied",
		"User: %s is not authorized to perform: %s on resource: %s", who.callerARN(), action, resource)
}

var (
	errBadSignature = signatureMismatch("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	errUnknownToken = refuse(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
	errExpiredToken = refuse(http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired")
)
