package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// active counts requests in flight over all listeners.
func active(ctx context.Context, admin *http.Client) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy/stats?format=json&filter=downstream_rq_active", nil)
	if err != nil {
		return 0, err
	}
	response, err := admin.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask envoy's admin page: %w", err)
	}
	defer response.Body.Close()
	var stats struct {
		Stats []struct {
			Value json.Number `json:"value"`
		} `json:"stats"`
	}
	if err := json.NewDecoder(response.Body).Decode(&stats); err != nil {
		return 0, fmt.Errorf("read envoy's statistics: %w", err)
	}
	var sum int64
	for _, stat := range stats.Stats {
		if n, err := stat.Value.Int64(); err == nil {
			sum += n
		}
	}
	return sum, nil
}
