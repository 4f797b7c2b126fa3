package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"testing"

	"github.com/garner-backup/garner/bench/report"
)

func TestPlots(t *testing.T) {
	r := sample(0.5)
	r.Peers = append(r.Peers, report.Peer{Name: "third", Kind: "borg"})
	r.Line("src", "backup1", "third").Samples = []report.Sample{{Wall: 63}}
	r.Line("alone", "ls", "third").Samples = []report.Sample{{Wall: 63}}
	plots, err := r.Plots()
	if err != nil {
		t.Fatal(err)
	}
	if len(plots) != 2 || plots["src"] == nil || plots["heavy"] == nil {
		t.Fatalf("plots of %d groups", len(plots))
	}
	for _, want := range []string{"backup1", "ls", "new", "third"} {
		if !bytes.Contains(plots["src"], []byte(">"+want+"</text>")) {
			t.Errorf("%s is not in the plot", want)
		}
	}
	if bytes.Contains(plots["src"], []byte(">find</text>")) {
		t.Error("find has no ratio, and is in the plot")
	}
	for dec := xml.NewDecoder(bytes.NewReader(plots["src"])); ; {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if plots, err := (&report.Report{}).Plots(); err != nil || len(plots) != 0 {
		t.Errorf("%d plots of nothing (%v)", len(plots), err)
	}
}
