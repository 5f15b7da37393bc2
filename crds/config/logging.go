package config

import (
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// LoggingName is the ConfigMap that ParseLogging reads.
const LoggingName = "config-logging"

// Logging is what config-logging says. Treat it as immutable.
type Logging struct {
	// Level is that of components that have none of their own.
	Level slog.Level
	// Development asks for text instead of JSON.
	Development bool

	components map[string]slog.Level
}

// For returns the level of a component, such as controller, autoscaler or webhook.
func (l *Logging) For(component string) slog.Level {
	if level, ok := l.components[component]; ok {
		return level
	}
	return l.Level
}

// levels are zap's, as people write them. slog has no level above error.
var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	"dpanic": slog.LevelError, "panic": slog.LevelError, "fatal": slog.LevelError,
}

// ParseLogging reads the data of config-logging. Of zap-logger-config, level and development count: the output is ours.
func ParseLogging(data map[string]string) (*Logging, []string, error) {
	r := read(LoggingName, data)
	l := &Logging{components: map[string]slog.Level{}}
	l.readZap(r)
	for _, key := range slices.Sorted(maps.Keys(data)) {
		component, ok := strings.CutPrefix(key, "loglevel.")
		if !ok || component == "" {
			continue
		}
		if s, _ := r.value(key); s != "" {
			l.components[component] = r.level(key, s)
		}
	}
	warnings, err := r.done()
	if err != nil {
		return nil, warnings, err
	}
	return l, warnings, nil
}

func (l *Logging) readZap(r *reader) {
	const key = "zap-logger-config"
	raw := ""
	if r.text(&raw, key); raw == "" {
		return
	}
	var zap struct {
		Level       string `json:"level"`
		Development bool   `json:"development"`
	}
	if err := json.Unmarshal([]byte(raw), &zap); err != nil {
		r.fail(key, "is no JSON object: %v; write one such as {\"level\": \"info\"}", err)
		return
	}
	l.Development = zap.Development
	if zap.Level != "" {
		l.Level = r.level(key, zap.Level)
	}
}

func (r *reader) level(key, s string) slog.Level {
	level, ok := levels[strings.ToLower(s)]
	if !ok {
		r.fail(key, "%q is no level; write \"debug\", \"info\", \"warn\" or \"error\"", s)
	}
	return level
}
