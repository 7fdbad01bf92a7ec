// Package webhook delivers the stream of notifications to HTTP endpoints, signed after the Standard Webhooks
// specification (https://github.com/standard-webhooks/standard-webhooks, version 1.0.0).
//
// # Types
//
//   - Dispatcher has the endpoints: Create, Endpoints, Endpoint, Enable and Delete answer requests, Run delivers.
//   - Endpoint is one of them as it stands, Spec what a request asks for, Secret the key that its deliveries are signed with.
//   - Store keeps the endpoints, Source has the notifications; the ledger's owner implements both.
//
// # What an endpoint can rely on
//
//  1. It gets every notification after its first number whose type it wants, in order and at least once. One request
//     is in flight at a time, and the next one begins only when the one before was answered 2xx.
//  2. A repeated delivery has the same webhook-id and the same body; timestamp and signature are those of the attempt.
//  3. What fails (any other status, a redirect, a timeout, a broken connection) is tried again after the delays of
//     Options.Schedule. After the last, and at once for 410, the endpoint is disabled until somebody enables it. It then
//     goes on with the notification that failed.
//
// # Where requests may go
//
// Whoever may create endpoints makes this process send requests, so it sends them to public addresses only
// (address.go), unless Options.AllowPrivate. The check is made on the address that is being dialled, not on the
// name, so a name that resolves to something else a moment later gains nothing. Redirects are not followed and
// proxies are not used; of an answer only its status counts.
//
// # Ownership
//
// One goroutine for each active endpoint delivers to it and alone changes how it stands. A request that changes an
// endpoint stops that goroutine first and waits for it. Positions are stored without waiting for the disk: what a
// crash takes back is delivered again.
//
// # What it does not do
//
// It makes no notifications and keeps none. It never logs a secret, a URL or a body.
package webhook
