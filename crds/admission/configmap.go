package admission

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/eventing"
	"ebb.dev/ebb/crds/serving"
)

// configMap judges the ConfigMaps of the system namespaces that we read.
func configMap(req Request, cfg *config.Set) Response {
	if req.Namespace != serving.SystemNamespace && req.Namespace != eventing.SystemNamespace {
		return Response{}
	}
	var changed corev1.ConfigMap
	if err := json.Unmarshal(req.New, &changed); err != nil {
		return req.unreadable(err)
	}
	if example, ok := changed.Data[config.ExampleKey]; ok {
		if sum := changed.Annotations[config.ExampleChecksumAnnotationKey]; sum != "" && sum != config.ExampleChecksum(example) {
			return req.refuse("data[%s]: has changed, which has no effect; copy the setting to the top level of data instead", config.ExampleKey)
		}
	}
	_, warnings, err := cfg.WithIn(req.Namespace, changed.Name, changed.Data)
	response := Response{Warnings: warnings, Object: &changed}
	if err != nil {
		response.Refusal = err.Error()
	}
	return response
}
