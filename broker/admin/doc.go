// Package admin is the broker's HTTP interface: health, and plugins, stages and
// chains as JSON. docs/http.md describes it.
//
// Handlers may block for as long as their request's context lives; the server
// bounds header, body and time. Every error is {"error": "what and what to do"}.
package admin
