// Package envoy writes the model in Envoy's own messages.
//
// In: values of xds/model and the few settings of Options. Out: Envoy v3 protos, ready to be sent.
//
// Hard rule: pure functions, no state, no clock; the same model gives the same bytes. What they mean is held by goldens:
// testdata/<case>/in.yaml is the model, out.yaml what Envoy gets; `go test ./xds/envoy -update` rewrites.
package envoy
