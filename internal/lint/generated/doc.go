// Package generated keeps checked-in pages equal to what the code that owns
// them produces.
//
// A page is owned by the package whose declarations it shows. That package
// renders it, and a test of that package calls CheckGenerated. A Markdown page
// begins with the line that Marker returns, so that a reader knows not to edit
// it.
//
// Invariants:
//
//  1. A page that is missing or differs by one byte fails the test.
//  2. Pages are written only with VARVE_UPDATE=1 in the environment, and then
//     only the ones whose content differs.
//  3. No page outside the repository is read or written.
//
// Concurrency: calls for different pages may run at the same time.
//
// It does not render anything.
package generated
