// Package private reads files that nobody but their owner may be able to read: keys,
// passwords, certificates beside them. It asks the open file and not its name, which may
// name another by then, and waits for nobody: a named pipe is refused.
//
// Stamp tells whether such a file has changed since it was read.
package private
