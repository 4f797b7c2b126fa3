package snapshot

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/garner-backup/garner/crypto"
)

// resticSnapshots are what restic stored, without seal and compression: 0.19.1
// but for the last one.
var resticSnapshots = map[string]string{
	"odd characters": `{"time":"2024-01-02T03:04:05+01:00","tree":"1c11d561888f9a49c6d69ddb8e402c157f017a35a161faad46c0a2f48cb96797","paths":["/tmp/exp/d"],"hostname":"h\u003c1\u003e","username":"root","excludes":["*.o","\u003cx\u003e\u0026"],"tags":["a","b","c","a"],"program_version":"restic 0.19.1","summary":{"backup_start":"2026-11-25T12:00:27.09838719+01:00","backup_end":"2026-11-25T12:00:27.869341882+01:00","files_new":3,"files_changed":0,"files_unmodified":0,"dirs_new":2,"dirs_changed":0,"dirs_unmodified":0,"data_blobs":2,"tree_blobs":3,"data_added":2172,"data_added_packed":1174,"total_files_processed":3,"total_bytes_processed":4}}`,
	"parent":         `{"time":"2026-11-25T12:00:28.726903382+01:00","parent":"664e1bba690c17c2a290e86dc15a7b13a10cf51422b676cf9ea0a7fe8ae76803","tree":"3a3ab951fdd6b4390fb6f7c01a2499620fd2d255a8ee3f35360a37eb300806a8","paths":["/tmp/exp/d/sub","/tmp/exp/d/f"],"hostname":"h2","username":"root","tags":["c"],"program_version":"restic 0.19.1","summary":{"backup_start":"2026-11-25T12:00:28.726903382+01:00","backup_end":"2026-11-25T12:00:29.435479045+01:00","files_new":0,"files_changed":0,"files_unmodified":1,"dirs_new":0,"dirs_changed":0,"dirs_unmodified":2,"data_blobs":0,"tree_blobs":0,"data_added":0,"data_added_packed":0,"total_files_processed":1,"total_bytes_processed":3}}`,
	"original":       `{"time":"2026-11-25T12:00:27.934000797+01:00","tree":"3a3ab951fdd6b4390fb6f7c01a2499620fd2d255a8ee3f35360a37eb300806a8","paths":["/tmp/exp/d/f","/tmp/exp/d/sub"],"hostname":"h2","username":"root","tags":["new"],"original":"664e1bba690c17c2a290e86dc15a7b13a10cf51422b676cf9ea0a7fe8ae76803","program_version":"restic 0.19.1","summary":{"backup_start":"2026-11-25T12:00:27.934000797+01:00","backup_end":"2026-11-25T12:00:28.657088852+01:00","files_new":1,"files_changed":0,"files_unmodified":0,"dirs_new":2,"dirs_changed":0,"dirs_unmodified":0,"data_blobs":0,"tree_blobs":2,"data_added":1155,"data_added_packed":735,"total_files_processed":1,"total_bytes_processed":3}}`,
	"not root":       `{"time":"2026-11-25T11:16:14.441518763Z","tree":"24ef9bcda2da80707d090b21b99c2cea7448943379806269569b054835b312d2","paths":["/etc/hostname"],"hostname":"u","username":"nobody","uid":65534,"gid":65534,"program_version":"restic 0.19.1","summary":{"backup_start":"2026-11-25T11:16:14.441518763Z","backup_end":"2026-11-25T11:16:15.175598132Z","files_new":1,"files_changed":0,"files_unmodified":0,"dirs_new":1,"dirs_changed":0,"dirs_unmodified":0,"data_blobs":1,"tree_blobs":2,"data_added":703,"data_added_packed":664,"total_files_processed":1,"total_bytes_processed":3}}`,
	"0.14":           `{"time":"2026-11-25T12:16:13.611867235+01:00","tree":"3e7f3705458c3d503bf7d40ae999711563811ebd557f3280cbb42dc5ebdece73","paths":["/tmp/exp/d/sub"],"hostname":"old","username":"root"}`,
}

func TestSnapshotsOfResticKeepTheirBytes(t *testing.T) {
	for name, text := range resticSnapshots {
		sn, err := Decode([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b, err := sn.Encode()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if string(b) != text {
			t.Errorf("%s: have %s\nwant %s", name, b, text)
		}
	}
}

func TestMembersAreUnderstood(t *testing.T) {
	sn, err := Decode([]byte(resticSnapshots["not root"]))
	if err != nil {
		t.Fatal(err)
	}
	treeID, err := crypto.ParseID("24ef9bcda2da80707d090b21b99c2cea7448943379806269569b054835b312d2")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 25, 11, 16, 14, 441518763, time.UTC)
	want := &Snapshot{
		Time: start, Tree: &treeID, Paths: []string{"/etc/hostname"}, Hostname: "u", Username: "nobody", UID: 65534, GID: 65534,
		ProgramVersion: "restic 0.19.1",
		Summary: &Summary{
			BackupStart: start, BackupEnd: time.Date(2026, 11, 25, 11, 16, 15, 175598132, time.UTC),
			FilesNew: 1, DirsNew: 1, DataBlobs: 1, TreeBlobs: 2, DataAdded: 703, DataAddedPacked: 664,
			TotalFilesProcessed: 1, TotalBytesProcessed: 3,
		},
	}
	if !reflect.DeepEqual(sn, want) {
		t.Errorf("have %+v\nwant %+v", sn, want)
	}
	sn, err = Decode([]byte(resticSnapshots["odd characters"]))
	if err != nil {
		t.Fatal(err)
	}
	if sn.Hostname != "h<1>" || !reflect.DeepEqual(sn.Excludes, []string{"*.o", "<x>&"}) || sn.Parent != nil || sn.Original != nil {
		t.Errorf("have %+v", sn)
	}
}

func TestOnlyWhatIsNotOptionalIsAlwaysThere(t *testing.T) {
	b, err := (&Snapshot{ID: crypto.ID{1}, Excludes: []string{}, Tags: []string{}, Paths: []string{}}).Encode()
	if want := `{"time":"0001-01-01T00:00:00Z","tree":null,"paths":[]}`; err != nil || string(b) != want {
		t.Errorf("have %s, %v; want %s", b, err, want)
	}
}

func TestTimesThatCanNotBeStoredAreRefused(t *testing.T) {
	if b, err := (&Snapshot{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}).Encode(); err == nil {
		t.Errorf("encoded as %s", b)
	}
}

func TestWhatIsNoSnapshotIsRefused(t *testing.T) {
	for _, text := range []string{
		"", " ", "null", "[]", "1", `"x"`, "{", "{}x", "{} {}", `{"time":"yesterday"}`, `{"time":1}`, `{"tree":"abc"}`, `{"tree":1}`,
		`{"parent":"` + strings.Repeat("g", 64) + `"}`, `{"paths":"x"}`, `{"uid":-1}`, `{"uid":4294967296}`, `{"summary":[]}`, `{"summary":{"files_new":-1}}`,
	} {
		if sn, err := Decode([]byte(text)); err == nil {
			t.Errorf("%s: taken for %+v", text, sn)
		}
	}
}

func TestUnknownMembersAndWhiteSpaceAreSkipped(t *testing.T) {
	sn, err := Decode([]byte(" \n{ \"new\" : {\"tree\": 1} , \"hostname\" : \"h\" , \"tree\" : null , \"summary\":{\"new\":[]} } \n"))
	if err != nil || sn.Hostname != "h" || sn.Tree != nil || sn.Summary == nil {
		t.Errorf("%+v, %v", sn, err)
	}
}

func TestPersistentIDSurvivesChanges(t *testing.T) {
	sn := &Snapshot{ID: crypto.ID{2}}
	if sn.PersistentID() != sn.ID {
		t.Errorf("have %s", sn.PersistentID())
	}
	sn.Original = &crypto.ID{1}
	if sn.PersistentID() != (crypto.ID{1}) {
		t.Errorf("have %s", sn.PersistentID())
	}
}

func FuzzDecode(f *testing.F) {
	for _, text := range resticSnapshots {
		f.Add([]byte(text))
	}
	f.Add([]byte(`{"time":"2024-01-01T0:00:00,5+24:00","TREE":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		sn, err := Decode(data)
		if err != nil {
			return
		}
		b, err := sn.Encode()
		if err != nil {
			return // times that JSON takes but does not give back
		}
		again, err := Decode(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if c, err := again.Encode(); err != nil || string(c) != string(b) {
			t.Fatalf("have %s, %v; want %s", c, err, b)
		}
	})
}
