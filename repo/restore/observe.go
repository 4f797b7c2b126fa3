package restore

import "sync/atomic"

// counters are the totals of a restore.
type counters struct {
	files, restored, skipped, deleted  atomic.Int64
	bytes, bytesRestored, bytesSkipped atomic.Int64
	verified, errors                   atomic.Int64
}

func (c *counters) result() Result {
	return Result{
		Files: c.files.Load(), FilesRestored: c.restored.Load(), FilesSkipped: c.skipped.Load(), FilesDeleted: c.deleted.Load(),
		Bytes: c.bytes.Load(), BytesRestored: c.bytesRestored.Load(), BytesSkipped: c.bytesSkipped.Load(),
		Verified: c.verified.Load(), Errors: c.errors.Load(),
	}
}

func (rs *restorer) found(path string, size int64) {
	rs.count.files.Add(1)
	rs.count.bytes.Add(size)
	if o := rs.opts.Observer; o != nil && o.Found != nil {
		o.Found(path, size)
	}
}

// fail reports an item that is not restored, or not in full.
func (rs *restorer) fail(path string, err error) {
	rs.count.errors.Add(1)
	if o := rs.opts.Observer; o != nil && o.Error != nil {
		o.Error(path, err)
	}
}

func (rs *restorer) wrote(n int64) {
	rs.count.bytesRestored.Add(n)
	rs.progress(n)
}

// skippedBytes counts content that was there already.
func (rs *restorer) skippedBytes(n int64) {
	rs.count.bytesSkipped.Add(n)
	rs.progress(n)
}

func (rs *restorer) progress(n int64) {
	if o := rs.opts.Observer; o != nil && o.Progress != nil {
		o.Progress(n)
	}
}

func (rs *restorer) done(path string, action Action, size int64) {
	switch action {
	case Deleted:
		rs.count.deleted.Add(1)
	case Unchanged:
		rs.count.skipped.Add(1)
	default:
		rs.count.restored.Add(1)
	}
	if o := rs.opts.Observer; o != nil && o.Item != nil {
		o.Item(path, action, size)
	}
}
