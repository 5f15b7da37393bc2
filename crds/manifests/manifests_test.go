package manifests

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/autoscaling"
	autoscalingv1alpha1 "ebb.dev/ebb/crds/autoscaling/v1alpha1"
	"ebb.dev/ebb/crds/config"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	eventingv1beta3 "ebb.dev/ebb/crds/eventing/v1beta3"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/crds/serving/podspec"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	sinksv1alpha1 "ebb.dev/ebb/crds/sinks/v1alpha1"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
)

var types = map[string]reflect.Type{
	"brokers.eventing.knative.dev":                    reflect.TypeFor[eventingv1.Broker](),
	"triggers.eventing.knative.dev":                   reflect.TypeFor[eventingv1.Trigger](),
	"eventtypes.eventing.knative.dev":                 reflect.TypeFor[eventingv1beta3.EventType](),
	"eventpolicies.eventing.knative.dev":              reflect.TypeFor[eventingv1alpha1.EventPolicy](),
	"requestreplies.eventing.knative.dev":             reflect.TypeFor[eventingv1alpha1.RequestReply](),
	"kafkasinks.eventing.knative.dev":                 reflect.TypeFor[eventingv1alpha1.KafkaSink](),
	"channels.messaging.knative.dev":                  reflect.TypeFor[messagingv1.Channel](),
	"inmemorychannels.messaging.knative.dev":          reflect.TypeFor[messagingv1.InMemoryChannel](),
	"subscriptions.messaging.knative.dev":             reflect.TypeFor[messagingv1.Subscription](),
	"kafkachannels.messaging.knative.dev":             reflect.TypeFor[messagingv1beta1.KafkaChannel](),
	"natsjetstreamchannels.messaging.knative.dev":     reflect.TypeFor[messagingv1alpha1.NatsJetStreamChannel](),
	"sequences.flows.knative.dev":                     reflect.TypeFor[flowsv1.Sequence](),
	"parallels.flows.knative.dev":                     reflect.TypeFor[flowsv1.Parallel](),
	"pingsources.sources.knative.dev":                 reflect.TypeFor[sourcesv1.PingSource](),
	"cronjobsources.sources.knative.dev":              reflect.TypeFor[sourcesv1.CronJobSource](),
	"apiserversources.sources.knative.dev":            reflect.TypeFor[sourcesv1.ApiServerSource](),
	"containersources.sources.knative.dev":            reflect.TypeFor[sourcesv1.ContainerSource](),
	"sinkbindings.sources.knative.dev":                reflect.TypeFor[sourcesv1.SinkBinding](),
	"kafkasources.sources.knative.dev":                reflect.TypeFor[sourcesv1.KafkaSource](),
	"jobsinks.sinks.knative.dev":                      reflect.TypeFor[sinksv1alpha1.JobSink](),
	"services.serving.knative.dev":                    reflect.TypeFor[servingv1.Service](),
	"configurations.serving.knative.dev":              reflect.TypeFor[servingv1.Configuration](),
	"revisions.serving.knative.dev":                   reflect.TypeFor[servingv1.Revision](),
	"routes.serving.knative.dev":                      reflect.TypeFor[servingv1.Route](),
	"ingresses.networking.internal.knative.dev":       reflect.TypeFor[networkingv1alpha1.Ingress](),
	"podautoscalers.autoscaling.internal.knative.dev": reflect.TypeFor[autoscalingv1alpha1.PodAutoscaler](),
}

func TestEverySchemaIsStructural(t *testing.T) {
	for _, definition := range CustomResourceDefinitions() {
		for i, version := range definition.Spec.Versions {
			for _, err := range structuralschema.ValidateStructural(field.NewPath("schema"), structuralOf(t, definition, i)) {
				t.Errorf("%s: %s: %v", definition.Name, version.Name, err)
			}
		}
	}
}

func structural(t *testing.T, definition *apiextensionsv1.CustomResourceDefinition) *structuralschema.Structural {
	t.Helper()
	return structuralOf(t, definition, 0)
}

func structuralOf(t *testing.T, definition *apiextensionsv1.CustomResourceDefinition, version int) *structuralschema.Structural {
	t.Helper()
	var internal apiextensions.JSONSchemaProps
	external := definition.Spec.Versions[version].Schema.OpenAPIV3Schema
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(external, &internal, nil); err != nil {
		t.Fatal(err)
	}
	schema, err := structuralschema.NewStructural(&internal)
	if err != nil {
		t.Fatalf("%s: %v", definition.Name, err)
	}
	return schema
}

// Run `go generate ./crds/...` where this fails.
func TestTheDefinitionsHaveTheFieldsOfTheTypes(t *testing.T) {
	definitions := CustomResourceDefinitions()
	if len(definitions) != len(types) {
		t.Errorf("%d definitions for %d kinds", len(definitions), len(types))
	}
	for _, definition := range definitions {
		typ, known := types[definition.Name]
		if !known {
			t.Errorf("no Go type for %s", definition.Name)
			continue
		}
		for _, version := range definition.Spec.Versions { // those of a kind say the same: nothing converts them
			compare(t, definition.Spec.Names.Kind, version.Schema.OpenAPIV3Schema, typ)
		}
	}
}

// opaque types have schemas of their own.
var opaque = []reflect.Type{
	reflect.TypeFor[metav1.ObjectMeta](), reflect.TypeFor[metav1.Time](), reflect.TypeFor[resource.Quantity](), reflect.TypeFor[intstr.IntOrString](),
}

func compare(t *testing.T, path string, schema *apiextensionsv1.JSONSchemaProps, typ reflect.Type) {
	t.Helper()
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch {
	case slices.Contains(opaque, typ) || typ == reflect.TypeFor[corev1.ObjectReference]():
	case typ.Kind() == reflect.Slice:
		if schema.Items == nil {
			t.Errorf("%s: a list in Go, %q in the definition", path, schema.Type)
			return
		}
		compare(t, path+"[]", schema.Items.Schema, typ.Elem())
	case schema.XPreserveUnknownFields != nil && *schema.XPreserveUnknownFields && len(schema.Properties) == 0:
	case typ.Kind() == reflect.Struct:
		fields := jsonFields(typ)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(schema.Properties))); diff != "" {
			t.Errorf("%s: fields of the type (-) and of the definition (+):\n%s", path, diff)
			return
		}
		for name, field := range fields {
			property := schema.Properties[name]
			if masked, listed := podspec.Table()[typ.Name()]; listed && typ.PkgPath() == "k8s.io/api/core/v1" {
				features, open := masked[name]
				checkDescription(t, path+"."+name, property.Description, features, open)
			}
			compare(t, path+"."+name, &property, field)
		}
	}
}

// checkDescription holds kubectl explain to what validation does.
func checkDescription(t *testing.T, path, description string, features []string, open bool) {
	t.Helper()
	if refused := strings.HasPrefix(description, "Refused: "); refused == open {
		t.Errorf("%s: the table says open is %v, the definition says %q", path, open, description)
	}
	for _, feature := range features {
		if !strings.Contains(description, feature) {
			t.Errorf("%s: the definition does not name %s: %q", path, feature, description)
		}
	}
}

// jsonFields returns the fields of a struct as they are on the wire, inlined ones included.
func jsonFields(typ reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range typ.NumField() {
		field := typ.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name != "":
			fields[name] = field.Type
		case strings.Contains(options, "inline"):
			maps.Copy(fields, jsonFields(field.Type))
		}
	}
	return fields
}

func TestOnlyWhatValidationMustSeeIsKeptFromPruning(t *testing.T) {
	for _, definition := range CustomResourceDefinitions() {
		walk(definition.Name, definition.Spec.Versions[0].Schema.OpenAPIV3Schema, func(path string, schema *apiextensionsv1.JSONSchemaProps) {
			keeps := schema.XPreserveUnknownFields != nil && *schema.XPreserveUnknownFields
			explained := strings.HasPrefix(schema.Description, "Refused: ") || strings.HasPrefix(schema.Description, "Open with ")
			if keeps && !explained && !strings.HasSuffix(path, ".template.metadata") && !strings.HasSuffix(path, "[]") && !judgedByType(path) {
				t.Errorf("%s keeps unknown fields", path)
			}
		})
	}
}

// judgedByType reports whether admission refuses unknown fields there by the Go type, which a definition cannot say or says at length.
func judgedByType(path string) bool {
	for _, suffix := range []string{
		".filters[].not", ".channelTemplate.spec", ".deploymentSpecTemplate.affinity", ".deploymentSpecTemplate.resources",
		"jobsinks.sinks.knative.dev.spec.job", "containersources.sources.knative.dev.spec.template",
	} {
		if strings.HasSuffix(path, suffix) {
			return true
		}
	}
	return false
}

func walk(path string, schema *apiextensionsv1.JSONSchemaProps, visit func(string, *apiextensionsv1.JSONSchemaProps)) {
	visit(path, schema)
	for name, property := range schema.Properties {
		walk(path+"."+name, &property, visit)
	}
	if schema.Items != nil {
		walk(path+"[]", schema.Items.Schema, visit)
	}
}

func TestEbbShipsItsOwnChoicesAndNoOthers(t *testing.T) {
	got := map[string]map[string]string{}
	for _, m := range ConfigMaps() {
		if m.Namespace != "knative-serving" {
			t.Errorf("%s is in namespace %q", m.Name, m.Namespace)
		}
		delete(m.Data, config.ExampleKey)
		if len(m.Data) > 0 {
			got[m.Name] = m.Data
		}
	}
	want := map[string]map[string]string{
		"config-autoscaler": {"initial-scale": "0", "allow-zero-initial-scale": "true"},
		"config-network":    {"ingress-class": "ebb.ingress.networking.knative.dev"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("shipped settings (-want +got):\n%s", diff)
	}
}

func TestEveryConfigMapShipsAndIsAccepted(t *testing.T) {
	set := config.NewSet("cluster.local")
	var names []string
	for _, m := range ConfigMaps() {
		names = append(names, m.Name)
		next, warnings, err := set.With(m.Name, m.Data)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: warnings %q, error %v", m.Name, warnings, err)
		}
		set = next
	}
	if diff := cmp.Diff(config.Names(), names); diff != "" {
		t.Errorf("ConfigMaps that are read (-) and that ship (+):\n%s", diff)
	}
	if set.Autoscaler.InitialScale != 0 || !set.Autoscaler.AllowZeroInitialScale {
		t.Error("new revisions do not start asleep")
	}
}

// An example that lies is worse than none.
func TestTheExamplesShowTheDefaults(t *testing.T) {
	for _, m := range ConfigMaps() {
		var example map[string]string
		if err := yaml.UnmarshalStrict([]byte(m.Data[config.ExampleKey]), &example); err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		defaults := config.NewSet("cluster.local")
		shown, warnings, err := defaults.With(m.Name, example)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: warnings %q, error %v", m.Name, warnings, err)
			continue
		}
		if diff := cmp.Diff(defaults, shown, unexported(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: its defaults (-) and its example (+):\n%s", m.Name, diff)
		}
	}
}

// unexported looks inside the structs of config, but not into templates.
func unexported() cmp.Option {
	return cmp.Options{
		cmp.AllowUnexported(config.Features{}, config.Domain{}),
		cmpopts.IgnoreUnexported(config.Network{}, config.Defaults{}, config.Deployment{}, config.Observability{}, config.Logging{}, autoscaling.Config{}),
	}
}
