package crypto

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	//lint:ignore SA1019 the format uses the bare authenticator
	"golang.org/x/crypto/poly1305"
	"golang.org/x/crypto/scrypt"
	"pgregory.net/rapid"
)

// vectorKey is the key of the vectors: encrypt 00..1f, k 20..2f, r f0..ff,
// which is not clamped on purpose.
func vectorKey(t testing.TB) *Key {
	raw := make([]byte, 0, keySize)
	for i := range 48 {
		raw = append(raw, byte(i))
	}
	for i := range 16 {
		raw = append(raw, byte(0xf0+i))
	}
	k, err := keyFromBytes(raw)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The object was sealed by an independent implementation of the format.
const vectorSealed = "404142434445464748494a4b4c4d4e4f" + "cb1bb353f87ac88ae00f0ba487" + "616bb922b2a7bba651071ec73a848a5d"

func TestOpenReadsTheVector(t *testing.T) {
	sealed, _ := hex.DecodeString(vectorSealed)
	got, err := vectorKey(t).Open([]byte("prefix "), sealed)
	if err != nil || string(got) != "prefix hello restic\n" {
		t.Fatalf("Open = %q, %v", got, err)
	}
	r, err := vectorKey(t).OpenFrom(bytes.NewReader(sealed), int64(len(sealed)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "hello restic\n" {
		t.Fatalf("OpenFrom reads %q, %v", got, err)
	}
}

func TestMACOfTheVector(t *testing.T) {
	sealed, _ := hex.DecodeString(vectorSealed)
	var tag [MACSize]byte
	vectorKey(t).mac(&tag, sealed[:IVSize], sealed[IVSize:len(sealed)-MACSize])
	if !bytes.Equal(tag[:], sealed[len(sealed)-MACSize:]) {
		t.Fatalf("mac = %x", tag)
	}
}

func TestScryptVector(t *testing.T) {
	salt := make([]byte, SaltSize)
	for i := range salt {
		salt[i] = byte(i)
	}
	const want = "61e71ad33908cbdb299958d495a6a4b23cdd1bbf70f6823ae620887f15b44ae6" +
		"d7f5249156ed8a879dc05d20f414558f0c4e4e795aaf0ab71eafe933a17c4a6d"
	raw, err := scrypt.Key([]byte("test"), salt, 1024, 8, 1, keySize)
	if err != nil || hex.EncodeToString(raw) != want {
		t.Fatalf("scrypt = %x, %v", raw, err)
	}
	k, err := deriveKey("test", salt, KDFParams{N: 1024, R: 8, P: 1})
	if err != nil {
		t.Fatal(err)
	}
	joined := append(append(k.encrypt[:], k.macK[:]...), k.macR[:]...)
	if !bytes.Equal(joined, raw) {
		t.Fatalf("the key is split as %x", joined)
	}
}

func TestSealOpenRoundTrip(t *testing.T) {
	key := NewKey()
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		prefix := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "prefix")
		sealed := key.Seal(bytes.Clone(prefix), plain)
		if !bytes.HasPrefix(sealed, prefix) || len(sealed) != len(prefix)+len(plain)+Overhead {
			t.Fatalf("Seal appended %d bytes", len(sealed)-len(prefix))
		}
		sealed = sealed[len(prefix):]
		got, err := key.Open(nil, sealed)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("Open = %x, %v", got, err)
		}
		got, err = key.OpenInPlace(sealed)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("OpenInPlace = %x, %v", got, err)
		}
		if len(got) > 0 && &got[0] != &sealed[IVSize] {
			t.Fatal("OpenInPlace used other memory")
		}
	})
}

func TestSealInPlaceUsesTheCallersMemory(t *testing.T) {
	key := NewKey()
	buf := make([]byte, IVSize, 1000)
	buf = append(buf, "some content"...)
	sealed := key.Seal(buf[:0], buf[IVSize:])
	if &sealed[0] != &buf[0] {
		t.Fatal("Seal moved to other memory")
	}
	if got, err := key.Open(nil, sealed); err != nil || string(got) != "some content" {
		t.Fatalf("Open = %q, %v", got, err)
	}
}

func TestOpenRefusesEveryFlippedBit(t *testing.T) {
	key := NewKey()
	sealed := key.Seal(nil, []byte("four"))
	for bit := range len(sealed) * 8 {
		damaged := bytes.Clone(sealed)
		damaged[bit/8] ^= 1 << (bit % 8)
		if _, err := key.Open(nil, damaged); !errors.Is(err, ErrUnauthenticated) {
			t.Fatalf("bit %d flipped: %v", bit, err)
		}
		if _, err := key.OpenFrom(bytes.NewReader(damaged), int64(len(damaged))); !errors.Is(err, ErrUnauthenticated) {
			t.Fatalf("bit %d flipped, OpenFrom: %v", bit, err)
		}
	}
	for n := range sealed {
		if _, err := key.Open(nil, sealed[:n]); !errors.Is(err, ErrUnauthenticated) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
		if _, err := key.OpenFrom(bytes.NewReader(sealed), int64(n)); !errors.Is(err, ErrUnauthenticated) {
			t.Fatalf("cut to %d bytes, OpenFrom: %v", n, err)
		}
	}
}

func TestOpenLeavesSealedAloneWhenItRefuses(t *testing.T) {
	key := NewKey()
	sealed := key.Seal(nil, []byte("content"))
	sealed[0] ^= 1
	before := bytes.Clone(sealed)
	if _, err := key.OpenInPlace(sealed); err == nil || !bytes.Equal(sealed, before) {
		t.Fatalf("err %v, sealed changed: %v", err, !bytes.Equal(sealed, before))
	}
}

func TestSealToMakesWhatSealMakes(t *testing.T) {
	key := NewKey()
	for _, size := range []int{0, 1, 15, 16, 17, streamBuffer - 1, streamBuffer, 3*streamBuffer + 5} {
		plain := bytes.Repeat([]byte("0123456789abcdef!"), size/17+1)[:size]
		var out bytes.Buffer
		w, err := key.SealTo(&out)
		if err != nil {
			t.Fatal(err)
		}
		for rest := plain; len(rest) > 0; {
			n := min(len(rest), 70001)
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := key.Open(nil, out.Bytes()); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("size %d: %v", size, err)
		}
	}
}

func TestSealUsesANewIVEachTime(t *testing.T) {
	key := NewKey()
	seen := map[string]bool{}
	for range 1000 {
		seen[string(key.Seal(nil, nil)[:IVSize])] = true
	}
	if len(seen) != 1000 {
		t.Fatalf("%d different IVs in 1000 objects", len(seen))
	}
}

func TestKeyJSON(t *testing.T) {
	const want = `{"mac":{"k":"ICEiIyQlJicoKSorLC0uLw==","r":"8PHy8/T19vf4+fr7/P3+/w=="},"encrypt":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}`
	b, err := json.Marshal(vectorKey(t))
	if err != nil || string(b) != want {
		t.Fatalf("Marshal = %s, %v", b, err)
	}
	var k Key
	if err := json.Unmarshal([]byte(want), &k); err != nil {
		t.Fatal(err)
	}
	sealed, _ := hex.DecodeString(vectorSealed)
	if _, err := k.Open(nil, sealed); err != nil {
		t.Fatal(err)
	}
	zero := strings.Replace(want, "8PHy8/T19vf4+fr7/P3+/w==", "AAAAAAAAAAAAAAAAAAAAAA==", 1)
	for _, bad := range []string{`{}`, `[]`, `{"mac":{"k":"AA==","r":"AA=="},"encrypt":"AA=="}`, zero} {
		if err := json.Unmarshal([]byte(bad), new(Key)); err == nil {
			t.Errorf("accepted %s", bad)
		}
	}
}

var cheapKDF = KDFParams{N: 16, R: 1, P: 1}

func TestKeyFileTellsWrongPasswordFromDamage(t *testing.T) {
	master := NewKey()
	kf, err := NewKeyFile("right", master, cheapKDF)
	if err != nil {
		t.Fatal(err)
	}
	b, err := kf.Encode()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseKeyFile(b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parsed.Open("right")
	if err != nil || got.encrypt != master.encrypt || got.macK != master.macK || got.macR != master.macR {
		t.Fatalf("Open(right): %v", err)
	}
	if _, err := parsed.Open("wrong"); !errors.Is(err, ErrWrongPassword) {
		t.Fatalf("Open(wrong): %v", err)
	}
	for name, damage := range map[string]func(*KeyFile){
		"kdf":   func(k *KeyFile) { k.KDF = "argon2" },
		"N":     func(k *KeyFile) { k.N = 3 },
		"huge":  func(k *KeyFile) { k.N = 1 << 30 },
		"r":     func(k *KeyFile) { k.R = 0 },
		"p":     func(k *KeyFile) { k.P = 1 << 30 },
		"salt":  func(k *KeyFile) { k.Salt = k.Salt[1:] },
		"short": func(k *KeyFile) { k.Data = k.Data[:31] },
	} {
		bad := *parsed
		damage(&bad)
		b, _ := bad.Encode()
		if _, err := ParseKeyFile(b); err == nil || errors.Is(err, ErrWrongPassword) {
			t.Errorf("%s: ParseKeyFile = %v", name, err)
		}
	}
	for n := range b {
		if _, err := ParseKeyFile(b[:n]); err == nil {
			t.Fatalf("a key file cut to %d bytes was accepted", n)
		}
	}
}

func TestParseID(t *testing.T) {
	id := Hash([]byte("hello restic\n"))
	if id.String() != "fbbd69198637d5360353c39796181175de6311c2a61abe2fe6392c938018660f" {
		t.Fatalf("Hash = %v", id)
	}
	if got, err := ParseID(id.String()); err != nil || got != id {
		t.Fatalf("ParseID = %v, %v", got, err)
	}
	for _, s := range []string{"", "fb", strings.ToUpper(id.String()), strings.Repeat("g", 64), id.String() + "0"} {
		if _, err := ParseID(s); err == nil {
			t.Errorf("ParseID(%q) accepted", s)
		}
	}
	if id.Short() != "fbbd6919" || !(ID{}).IsZero() || id.IsZero() || id.Compare(ID{}) <= 0 {
		t.Error("Short, IsZero or Compare is off")
	}
}

func TestCalibratedKeysCostWhatTheyShould(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	p, err := CalibrateKDF()
	if err != nil {
		t.Fatal(err)
	}
	if p.R != 8 || p.N < 1<<11 || 128*p.R*p.N >= calibrationMemory || p.P < 1 || p.validate() != nil {
		t.Fatalf("CalibrateKDF = %+v", p)
	}
}

func FuzzParseKeyFile(f *testing.F) {
	kf, _ := NewKeyFile("x", NewKey(), cheapKDF)
	b, _ := kf.Encode()
	f.Add(b)
	f.Add([]byte(`{"kdf":"scrypt","N":2,"r":1,"p":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		kf, err := ParseKeyFile(b)
		if err != nil {
			return
		}
		if kf.N*kf.R*kf.P <= 1<<12 {
			_, _ = kf.Open("x")
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{2 << 10, 1 << 20} {
		b.Run(sizeName(size), func(b *testing.B) {
			key, plain, buf := NewKey(), make([]byte, size), make([]byte, 0, size+Overhead)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				buf = key.Seal(buf[:0], plain)
			}
		})
		b.Run(sizeName(size)+"/limit", func(b *testing.B) { benchmarkPrimitives(b, size) })
	}
}

// benchmarkPrimitives does what sealing and opening can't do without: the
// cipher and the authenticator, over the same bytes.
func benchmarkPrimitives(b *testing.B, size int) {
	key, buf := NewKey(), make([]byte, size)
	iv := make([]byte, IVSize)
	ctr := cipher.NewCTR(key.block, iv)
	var tag [MACSize]byte
	var oneTime [32]byte
	b.SetBytes(int64(size))
	for b.Loop() {
		ctr.XORKeyStream(buf, buf)
		poly1305.Sum(&tag, buf, &oneTime)
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, size := range []int{2 << 10, 1 << 20} {
		b.Run(sizeName(size), func(b *testing.B) {
			key, buf := NewKey(), make([]byte, 0, size)
			sealed := key.Seal(nil, make([]byte, size))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := key.Open(buf, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func sizeName(n int) string {
	if n >= 1<<20 {
		return "1MiB"
	}
	return "2KiB"
}

// TestDearParametersAreRefused meets key files that would take all memory, or
// hours.
func TestDearParametersAreRefused(t *testing.T) {
	for _, p := range []KDFParams{{N: 16, R: 1, P: 1 << 28}, {N: 1 << 20, R: 8, P: 1 << 12}, {N: 1 << 24, R: 8, P: 1}, {N: 15, R: 8, P: 1}} {
		if _, err := deriveKey("test", make([]byte, SaltSize), p); err == nil {
			t.Errorf("%+v was accepted", p)
		}
	}
	for _, p := range []KDFParams{{N: 1 << 15, R: 8, P: 40}, {N: 1 << 20, R: 8, P: 4}} { // dear, but somebody may want it
		if err := p.validate(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
}
