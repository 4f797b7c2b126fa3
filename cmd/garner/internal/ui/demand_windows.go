package ui

import "os"

// onDemand returns a channel that never receives: there is no signal for it.
func onDemand() (<-chan os.Signal, func()) { return nil, func() {} }
