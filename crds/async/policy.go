package async

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// What a Policy may be at most.
const (
	MaxRetry   = 100
	MaxTimeout = 24 * time.Hour
	MaxTTL     = 7 * 24 * time.Hour
	MaxBytes   = 4 << 20
	maxCount   = 1_000_000
)

// Policy is how a Service's requests are answered later.
type Policy struct {
	Mode string
	// Retry is how many attempts follow the first one, Backoff the delay before the second; it doubles with each.
	Retry   int
	Backoff time.Duration
	// Timeout bounds one attempt.
	Timeout time.Duration
	// TTL is for how long what became of a request can be asked for.
	TTL time.Duration
	// Concurrency is how many requests are under way at once, Queue how many may wait.
	Concurrency, Queue int
	// Bytes bounds the body of a request, and of an answer.
	Bytes int64
	// DeadLetter is a URL, or empty.
	DeadLetter string
}

// Default is the Policy of a Service without annotations.
func Default() Policy {
	return Policy{
		Mode: ModeConditional, Retry: 5, Backoff: time.Second, Timeout: time.Hour, TTL: time.Hour,
		Concurrency: 100, Queue: 10_000, Bytes: 1 << 20,
	}
}

// Mode is that of an object's annotations and labels.
func Mode(annotations, labels map[string]string) string {
	for _, from := range []map[string]string{annotations, labels} {
		switch mode := from[ModeKey]; mode {
		case ModeAlways, ModeConditional, ModeNever:
			return mode
		}
	}
	return ModeConditional
}

// Resolve is the Policy that annotations and labels ask for.
func Resolve(annotations, labels map[string]string) Policy {
	p := Default()
	for _, s := range settings {
		if value, ok := annotations[s.key]; ok {
			// A value that says nothing leaves the default.
			_ = s.read(&p, value)
		}
	}
	p.Mode = Mode(annotations, labels)
	return p
}

// Validate returns what is wrong with the annotations and labels of a Service or Route, whose metadata is at path.
func Validate(annotations, labels map[string]string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for name, from := range map[string]map[string]string{"annotations": annotations, "labels": labels} {
		if mode, ok := from[ModeKey]; ok && mode != Mode(nil, from) {
			errs = append(errs, field.NotSupported(path.Child(name).Key(ModeKey), mode, []string{ModeConditional, ModeAlways, ModeNever}))
		}
	}
	var p Policy
	for _, s := range settings {
		if value, ok := annotations[s.key]; ok {
			if err := s.read(&p, value); err != nil {
				errs = append(errs, field.Invalid(path.Child("annotations").Key(s.key), value, err.Error()))
			}
		}
	}
	for key := range annotations {
		if strings.HasPrefix(key, group+"/") && !slices.ContainsFunc(settings, func(s setting) bool { return s.key == key }) {
			errs = append(errs, field.Invalid(path.Child("annotations").Key(key), annotations[key], "no such setting"))
		}
	}
	slices.SortFunc(errs, func(a, b *field.Error) int { return cmp.Compare(a.Field, b.Field) })
	return errs
}

// Longest is how long a replica may have to wait for what it was asked: request, the longest that its revision's own timeouts allow, or as
// long as the annotations of the revision say.
func Longest(annotations map[string]string, request time.Duration) time.Duration {
	var p Policy
	if value, ok := annotations[TimeoutKey]; ok && duration(&p.Timeout, value, MaxTimeout) == nil {
		return max(request, p.Timeout)
	}
	return request
}

// ValidateTemplate returns what is wrong with the annotations of a template, which are at path.
func ValidateTemplate(annotations map[string]string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, s := range settings {
		value, ok := annotations[s.key]
		if !ok {
			continue
		}
		var p Policy
		if err := s.read(&p, value); err != nil {
			errs = append(errs, field.Invalid(path.Key(s.key), value, err.Error()))
		} else if s.key != TimeoutKey {
			errs = append(errs, field.Forbidden(path.Key(s.key), "belongs to the annotations of the Service or Route itself; move it there"))
		}
	}
	return errs
}

// setting is one annotation.
type setting struct {
	key  string
	read func(p *Policy, value string) error
}

var settings = []setting{
	{RetryKey, func(p *Policy, v string) error { return whole(&p.Retry, v, 0, MaxRetry) }},
	{BackoffKey, func(p *Policy, v string) error { return duration(&p.Backoff, v, time.Hour) }},
	{TimeoutKey, func(p *Policy, v string) error { return duration(&p.Timeout, v, MaxTimeout) }},
	{TTLKey, func(p *Policy, v string) error { return duration(&p.TTL, v, MaxTTL) }},
	{ConcurrencyKey, func(p *Policy, v string) error { return whole(&p.Concurrency, v, 1, maxCount) }},
	{QueueKey, func(p *Policy, v string) error { return whole(&p.Queue, v, 1, maxCount) }},
	{MaxBytesKey, func(p *Policy, v string) error { return whole(&p.Bytes, v, 1, MaxBytes) }},
	{DeadLetterKey, func(p *Policy, v string) error {
		if err := CheckURL(v); err != nil {
			return err
		}
		p.DeadLetter = v
		return nil
	}},
}

func whole[T int | int64](to *T, value string, least, most T) error {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < int64(least) || n > int64(most) {
		return fmt.Errorf("must be a whole number from %d to %d", least, most)
	}
	*to = T(n)
	return nil
}

func duration(to *time.Duration, value string, most time.Duration) error {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 || d > most {
		return fmt.Errorf("must be a duration such as \"90s\" or \"20m\", more than 0 and at most %s", most)
	}
	*to = d
	return nil
}

// Seconds reads a duration of a header: a whole number of seconds, or a Go duration, up to a bound.
func Seconds(value string, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if n, whole := strconv.ParseUint(value, 10, 31); whole == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 || d > most {
		return 0, fmt.Errorf("%q is no time: write whole seconds, or a duration such as \"20m\", at most %s", value, most)
	}
	return d, nil
}

// CheckURL refuses what cannot be sent to: anything but an absolute http or https URL without a user.
func CheckURL(value string) error {
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return fmt.Errorf("must be an absolute http or https URL without a user and password")
	}
	return nil
}
