package daemon

import "runtime"

// ballastBytes are counted by the garbage collector and never touched, so that they take no memory. Go collects when
// the heap has doubled, which for a small state is after a few megabytes: under load that takes a fifth of a server's
// processor time. With them it is after 64 MiB, and what a larger heap may grow by is no more than that in addition.
const ballastBytes = 32 << 20

// holdBallast keeps them until release is called.
func holdBallast() (release func()) {
	ballast := make([]byte, ballastBytes)
	return func() { runtime.KeepAlive(ballast) }
}
