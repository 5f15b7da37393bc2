package autoscaling

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ConfigName is the ConfigMap that ParseConfig reads, in namespace knative-serving.
const ConfigName = "config-autoscaler"

// configObject is how errors and warnings name the ConfigMap.
const configObject = "ConfigMap knative-serving/" + ConfigName

// Config is what config-autoscaler says, with defaults for what it does not say.
// Treat it as immutable: make a new one for each change of the ConfigMap.
type Config struct {
	// Class is the autoscaler of revisions that name none.
	Class string

	// ScaleToZero allows revisions to sleep.
	ScaleToZero bool
	// AllowZeroInitialScale allows revisions to be born asleep.
	AllowZeroInitialScale bool

	// ConcurrencyUtilization is the share of a replica's concurrency to aim for, in (0, 1].
	ConcurrencyUtilization float64
	// ConcurrencyTarget is the concurrency of a replica with containerConcurrency 0.
	ConcurrencyTarget float64
	// RPSTarget is the requests per second of a replica.
	RPSTarget float64
	// RPSUtilization is the share of RPSTarget to aim for. It has no key: only the annotation changes it.
	RPSUtilization float64
	// TargetBurstCapacity is the burst, in requests, to be ready for: -1 always buffers, 0 only at zero.
	TargetBurstCapacity float64
	// ActivatorCapacity is accepted and has no effect: Ebb has no activator.
	ActivatorCapacity float64

	// MaxScaleUpRate and MaxScaleDownRate are the largest ratios of desired to ready replicas and back. Both exceed 1.
	MaxScaleUpRate   float64
	MaxScaleDownRate float64

	// StableWindow is the averaging time, in whole seconds.
	StableWindow time.Duration
	// PanicWindowPercentage is the panic window in percent of the stable window.
	PanicWindowPercentage float64
	// PanicThresholdPercentage is the demand, in percent of what is ready, that starts panic mode.
	PanicThresholdPercentage float64

	// ScaleToZeroGracePeriod is the longest wait for the buffer to be in the path before the last replica goes.
	ScaleToZeroGracePeriod time.Duration
	// ScaleToZeroPodRetentionPeriod is the least time the last replica stays after the decision to sleep.
	ScaleToZeroPodRetentionPeriod time.Duration
	// ScaleDownDelay is how long demand must stay low before replicas go, in whole seconds.
	ScaleDownDelay time.Duration

	// InitialScale, MinScale and MaxScale are replicas for revisions that name none; MaxScale 0 is no limit.
	InitialScale int32
	MinScale     int32
	MaxScale     int32
	// MaxScaleLimit bounds what revisions may name as their max-scale; 0 is no limit.
	MaxScaleLimit int32

	// ProgressDeadline is not a key of this ConfigMap: it is progress-deadline of config-deployment, which the caller fills in.
	ProgressDeadline time.Duration

	// Unknown holds the keys that are not known here, kept as they were written.
	Unknown map[string]string
}

// DefaultConfig is the Config of an empty ConfigMap.
func DefaultConfig() Config {
	return Config{
		Class:                    KPA,
		ScaleToZero:              true,
		ConcurrencyUtilization:   0.7,
		ConcurrencyTarget:        100,
		RPSTarget:                200,
		RPSUtilization:           0.7,
		TargetBurstCapacity:      211,
		ActivatorCapacity:        100,
		MaxScaleUpRate:           1000,
		MaxScaleDownRate:         2,
		StableWindow:             60 * time.Second,
		PanicWindowPercentage:    10,
		PanicThresholdPercentage: 200,
		ScaleToZeroGracePeriod:   30 * time.Second,
		InitialScale:             1,
		ProgressDeadline:         600 * time.Second,
	}
}

// legacyKeys are keys that guides and other versions name, with what to write instead.
var legacyKeys = map[string]string{
	"target":       "container-concurrency-target-default",
	"panic-window": "panic-window-percentage",
}

// ParseConfig reads the data of config-autoscaler.
// An unknown key is kept and gives a warning. The error names the ConfigMap, the key and the remedy; with one, Config is
// of no use and the last good one stays in force.
func ParseConfig(data map[string]string) (Config, []string, error) {
	c := DefaultConfig()
	known := c.fields()
	var warnings []string
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if strings.HasPrefix(key, "_") {
			continue // _example is documentation that ships inside the ConfigMap
		}
		parse, ok := known[key]
		if !ok {
			if c.Unknown == nil {
				c.Unknown = map[string]string{}
			}
			c.Unknown[key] = data[key]
			warnings = append(warnings, unknownKeyWarning(key))
			continue
		}
		if err := parse(data[key]); err != nil {
			return Config{}, warnings, fmt.Errorf("%s: %s: %q is %w", configObject, key, data[key], err)
		}
	}
	// Values up to 1 are fractions and larger ones percent; both spellings are in use.
	if c.ConcurrencyUtilization > 1 {
		c.ConcurrencyUtilization /= 100
	}
	if err := c.validate(); err != nil {
		return Config{}, warnings, fmt.Errorf("%s: %w", configObject, err)
	}
	return c, warnings, nil
}

func unknownKeyWarning(key string) string {
	warning := fmt.Sprintf("%s: %s: unknown key, kept but without effect", configObject, key)
	if instead := legacyKeys[key]; instead != "" {
		warning += "; use " + instead
	}
	return warning
}

// fields says where each key's value goes.
func (c *Config) fields() map[string]func(string) error {
	return map[string]func(string) error{
		"pod-autoscaler-class":                    setString(&c.Class),
		"enable-scale-to-zero":                    setBool(&c.ScaleToZero),
		"allow-zero-initial-scale":                setBool(&c.AllowZeroInitialScale),
		"max-scale-up-rate":                       setFloat(&c.MaxScaleUpRate),
		"max-scale-down-rate":                     setFloat(&c.MaxScaleDownRate),
		"container-concurrency-target-percentage": setFloat(&c.ConcurrencyUtilization),
		"container-concurrency-target-default":    setFloat(&c.ConcurrencyTarget),
		"requests-per-second-target-default":      setFloat(&c.RPSTarget),
		"target-burst-capacity":                   setFloat(&c.TargetBurstCapacity),
		"panic-window-percentage":                 setFloat(&c.PanicWindowPercentage),
		"panic-threshold-percentage":              setFloat(&c.PanicThresholdPercentage),
		"activator-capacity":                      setFloat(&c.ActivatorCapacity),
		"initial-scale":                           setInt32(&c.InitialScale),
		"min-scale":                               setInt32(&c.MinScale),
		"max-scale":                               setInt32(&c.MaxScale),
		"max-scale-limit":                         setInt32(&c.MaxScaleLimit),
		"stable-window":                           setDuration(&c.StableWindow),
		"scale-down-delay":                        setDuration(&c.ScaleDownDelay),
		"scale-to-zero-grace-period":              setDuration(&c.ScaleToZeroGracePeriod),
		"scale-to-zero-pod-retention-period":      setDuration(&c.ScaleToZeroPodRetentionPeriod),
	}
}

func setString(p *string) func(string) error {
	return func(s string) error { *p = strings.TrimSpace(s); return nil }
}

func setBool(p *bool) func(string) error {
	return func(s string) (err error) {
		if *p, err = strconv.ParseBool(s); err != nil {
			return fmt.Errorf("not a truth value; write \"true\" or \"false\"")
		}
		return nil
	}
}

func setFloat(p *float64) func(string) error {
	return func(s string) error {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("not a number; write one such as \"10\" or \"0.5\"")
		}
		*p = f
		return nil
	}
}

func setInt32(p *int32) func(string) error {
	return func(s string) error {
		i, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return fmt.Errorf("not a whole number of 32 bits; write one such as \"10\"")
		}
		*p = int32(i)
		return nil
	}
}

func setDuration(p *time.Duration) func(string) error {
	return func(s string) (err error) {
		if *p, err = time.ParseDuration(s); err != nil {
			return fmt.Errorf("not a duration; write one such as \"60s\" or \"5m\"")
		}
		return nil
	}
}

// validate returns the first rule that is broken, as "key: what is wrong; what to write".
func (c *Config) validate() error {
	// Without a limit max-scale 0 is fine; with one, 0 (no maximum) would exceed it.
	leastMax := int32(0)
	if c.MaxScaleLimit > 0 {
		leastMax = 1
	}
	rules := []struct {
		broken bool
		key    string
		format string
		args   []any
	}{
		{c.ScaleToZeroGracePeriod <= 0, "scale-to-zero-grace-period", "%v must be positive", []any{c.ScaleToZeroGracePeriod}},
		{c.ScaleDownDelay < 0, "scale-down-delay", "%v must not be negative", []any{c.ScaleDownDelay}},
		{!wholeSeconds(c.ScaleDownDelay), "scale-down-delay", "%v must be in whole seconds", []any{c.ScaleDownDelay}},
		{c.ScaleToZeroPodRetentionPeriod < 0, "scale-to-zero-pod-retention-period", "%v must not be negative", []any{c.ScaleToZeroPodRetentionPeriod}},
		{c.TargetBurstCapacity < 0 && c.TargetBurstCapacity != -1, "target-burst-capacity", "%g must be -1 (always buffer), 0 or positive", []any{c.TargetBurstCapacity}},
		{c.ConcurrencyUtilization <= 0 || c.ConcurrencyUtilization > 1, "container-concurrency-target-percentage", "%.4g must be in (0, 100] (values up to 1 are fractions)", []any{100 * c.ConcurrencyUtilization}},
		{c.ConcurrencyUtilization*c.ConcurrencyTarget < TargetMin, "container-concurrency-target-default", "%g times the target percentage is %.4g, must be at least %g; raise one of them", []any{c.ConcurrencyTarget, c.ConcurrencyUtilization * c.ConcurrencyTarget, TargetMin}},
		{c.RPSTarget < TargetMin, "requests-per-second-target-default", "%g must be at least %g", []any{c.RPSTarget, TargetMin}},
		{c.ActivatorCapacity < 1, "activator-capacity", "%g must be at least 1", []any{c.ActivatorCapacity}},
		{c.MaxScaleUpRate <= 1, "max-scale-up-rate", "%g must be greater than 1", []any{c.MaxScaleUpRate}},
		{c.MaxScaleDownRate <= 1, "max-scale-down-rate", "%g must be greater than 1", []any{c.MaxScaleDownRate}},
		{c.StableWindow < WindowMin || c.StableWindow > WindowMax, "stable-window", "%v must be from %v to %v", []any{c.StableWindow, WindowMin, WindowMax}},
		{!wholeSeconds(c.StableWindow), "stable-window", "%v must be in whole seconds", []any{c.StableWindow}},
		{c.PanicWindowPercentage < PanicWindowPercentageMin || c.PanicWindowPercentage > PanicWindowPercentageMax, "panic-window-percentage", "%g must be from %g to %g", []any{c.PanicWindowPercentage, PanicWindowPercentageMin, PanicWindowPercentageMax}},
		{c.PanicThresholdPercentage <= 0, "panic-threshold-percentage", "%g must be positive; %g to %g is sensible", []any{c.PanicThresholdPercentage, PanicThresholdPercentageMin, PanicThresholdPercentageMax}},
		{c.InitialScale < 0, "initial-scale", "%d must not be negative", []any{c.InitialScale}},
		{c.InitialScale == 0 && !c.AllowZeroInitialScale, "initial-scale", "0 is not allowed; set allow-zero-initial-scale to \"true\" or initial-scale to at least 1", nil},
		{c.MinScale < 0, "min-scale", "%d must not be negative", []any{c.MinScale}},
		{c.MaxScaleLimit < 0, "max-scale-limit", "%d must not be negative", []any{c.MaxScaleLimit}},
		{c.MaxScale < leastMax || c.MaxScaleLimit > 0 && c.MaxScale > c.MaxScaleLimit, "max-scale", "%d must be from %d to max-scale-limit (%d, where 0 is none)", []any{c.MaxScale, leastMax, c.MaxScaleLimit}},
		{c.MaxScale > 0 && c.MinScale > c.MaxScale, "min-scale", "%d must not be greater than max-scale (%d); lower it or raise max-scale", []any{c.MinScale, c.MaxScale}},
	}
	for _, r := range rules {
		if r.broken {
			return fmt.Errorf("%s: %s", r.key, fmt.Sprintf(r.format, r.args...))
		}
	}
	return nil
}

func wholeSeconds(d time.Duration) bool { return d%time.Second == 0 }
