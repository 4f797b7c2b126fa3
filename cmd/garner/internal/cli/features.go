package cli

import (
	"strconv"
	"strings"
)

// FeatureFlag is a switch in $RESTIC_FEATURES. Stable ones are always on, and
// only their names are still accepted.
type FeatureFlag struct {
	Name        string
	State       string // alpha, beta or stable
	Default     bool
	Description string
}

// DeviceIDForHardlinks is the feature that changes what a backup records.
const DeviceIDForHardlinks = "device-id-for-hardlinks"

// FeatureFlags returns the flags of restic, sorted by name.
func FeatureFlags() []FeatureFlag {
	return []FeatureFlag{
		{"backend-error-redesign", "beta", true, "give up HTTP requests that hang, and retry by the kind of error; no effect on local repositories"},
		{"deprecate-legacy-index", "stable", true, "refuse index files as restic 0.1 wrote them"},
		{"deprecate-s3-legacy-layout", "stable", true, "refuse the layout that restic up to 0.7 used on S3"},
		{DeviceIDForHardlinks, "alpha", false, "record the device only of files with several names, so that other metadata changes less often"},
		{"explicit-s3-anonymous-auth", "stable", true, "use S3 without credentials only when told to"},
		{"s3-restore", "alpha", false, "bring back objects from cold storage on S3; no effect on local repositories"},
		{"safe-forget-keep-tags", "stable", true, "keep forget from removing all snapshots for want of a tag to keep"},
	}
}

// setFeatures reads a list like "one=true,two=false,three".
func (a *App) setFeatures(list string) error {
	a.features = make(map[string]bool)
	known := make(map[string]FeatureFlag)
	for _, f := range FeatureFlags() {
		known[f.Name] = f
		a.features[f.Name] = f.Default
	}
	if list == "" {
		return nil
	}
	for _, item := range strings.Split(list, ",") {
		name, value, given := strings.Cut(item, "=")
		on := true
		if given {
			var err error
			if on, err = strconv.ParseBool(value); err != nil {
				return Usage("invalid value %q of feature flag %q in $RESTIC_FEATURES: want true or false", value, name)
			}
		}
		f, ok := known[name]
		if !ok {
			return Usage("unknown feature flag %q", name)
		}
		if f.State == "stable" {
			a.Warnf("feature flag %q is always enabled, and later releases will not know it any more\n", name)
			continue
		}
		a.features[name] = on
	}
	return nil
}

// Feature reports whether a feature is on.
func (a *App) Feature(name string) bool { return a.features[name] }
