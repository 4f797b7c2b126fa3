package dump

import (
	"archive/tar"
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/garner-backup/garner/repo/tree"
)

// The mode bits of a tar header that Go's Perm leaves out.
const (
	tarSetuid = 0o4000
	tarSetgid = 0o2000
	tarSticky = 0o1000
)

type tarSink struct {
	w       *tar.Writer
	problem func(path string, err error)
}

func newTarSink(w io.Writer, problem func(path string, err error)) *tarSink {
	if problem == nil {
		problem = func(string, error) {}
	}
	return &tarSink{tar.NewWriter(w), problem}
}

func (s *tarSink) close() error { return s.w.Close() }

func (s *tarSink) item(path string, n *tree.Node) (io.Writer, error) {
	h := &tar.Header{
		Typeflag: tar.TypeReg,
		Name:     strings.TrimPrefix(path, "/"),
		Size:     int64(n.Size),
		Mode:     tarMode(n.Mode),
		Uid:      int(n.UID), Gid: int(n.GID), Uname: n.User, Gname: n.Group,
		ModTime:    n.ModTime, // in whole seconds, as long as Format is not set
		PAXRecords: s.records(path, n),
	}
	switch n.Type {
	case tree.TypeDir:
		h.Typeflag = tar.TypeDir
		h.Name += "/"
	case tree.TypeSymlink:
		h.Typeflag = tar.TypeSymlink
		h.Linkname = n.LinkTarget
		h.Size = 0
	case tree.TypeFile:
	default:
		h.Size = 0 // an empty file stands for it
	}
	return s.w, s.w.WriteHeader(h)
}

func tarMode(m fs.FileMode) int64 {
	mode := int64(m.Perm())
	if m&fs.ModeSetuid != 0 {
		mode |= tarSetuid
	}
	if m&fs.ModeSetgid != 0 {
		mode |= tarSetgid
	}
	if m&fs.ModeSticky != 0 {
		mode |= tarSticky
	}
	return mode
}

// records are the extended attributes as star invented them and other tars
// read them; Linux' access lists are in words there.
func (s *tarSink) records(path string, n *tree.Node) map[string]string {
	if len(n.ExtendedAttributes) == 0 {
		return nil
	}
	m := make(map[string]string)
	for _, x := range n.ExtendedAttributes {
		key := ""
		switch x.Name {
		case "system.posix_acl_access":
			key = "SCHILY.acl.access"
		case "system.posix_acl_default":
			key = "SCHILY.acl.default"
		default:
			m["SCHILY.xattr."+x.Name] = string(x.Value)
			continue
		}
		text, err := aclText(x.Value)
		if err != nil {
			s.problem(path, fmt.Errorf("attribute %s: %w", x.Name, err))
			continue
		}
		m[key] = text
	}
	return m
}

// aclText turns an access list of Linux, version 2, into lines like
// "user:1000:rw-".
func aclText(b []byte) (string, error) {
	const head, entry, version = 4, 8, 2
	if len(b) < head || (len(b)-head)%entry != 0 {
		return "", errors.New("access list of an odd length")
	}
	if v := binary.LittleEndian.Uint32(b); v != version {
		return "", fmt.Errorf("access list of version %d", v)
	}
	var text strings.Builder
	for b = b[head:]; len(b) > 0; b = b[entry:] {
		tag, perm := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:])
		id := binary.LittleEndian.Uint32(b[4:])
		switch tag {
		case 0x01:
			text.WriteString("user::")
		case 0x02:
			fmt.Fprintf(&text, "user:%d:", id)
		case 0x04:
			text.WriteString("group::")
		case 0x08:
			fmt.Fprintf(&text, "group:%d:", id)
		case 0x10:
			text.WriteString("mask::")
		case 0x20:
			text.WriteString("other::")
		default:
			return "", fmt.Errorf("access list with the unknown tag %#x", tag)
		}
		for i, c := range "rwx" {
			if perm&(4>>i) == 0 {
				c = '-'
			}
			text.WriteRune(c)
		}
		text.WriteByte('\n')
	}
	return text.String(), nil
}

type zipSink struct{ w *zip.Writer }

func newZipSink(w io.Writer) *zipSink { return &zipSink{zip.NewWriter(w)} }

func (s *zipSink) close() error { return s.w.Close() }

func (s *zipSink) item(path string, n *tree.Node) (io.Writer, error) {
	h := &zip.FileHeader{Name: strings.TrimPrefix(path, "/"), UncompressedSize64: n.Size, Modified: n.ModTime}
	h.SetMode(n.Mode)
	switch n.Type {
	case tree.TypeFile:
		h.Method = zip.Deflate
	case tree.TypeDir:
		h.Name += "/"
	}
	w, err := s.w.CreateHeader(h)
	if err != nil || n.Type != tree.TypeSymlink {
		return w, err
	}
	_, err = io.WriteString(w, n.LinkTarget)
	return w, err
}
