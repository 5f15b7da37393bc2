package admission

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/config"
)

// evented asks for an object of a kind, by its manifest without apiVersion and kind. Its name is a, and its namespace default.
func evented(t testing.TB, kind schema.GroupVersionKind, manifest string) Request {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(manifest), &object); err != nil {
		t.Fatalf("%v\n%s", err, manifest)
	}
	meta, _ := object["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
		object["metadata"] = meta
	}
	meta["name"], meta["namespace"] = "a", "default"
	object["apiVersion"], object["kind"] = kind.GroupVersion().String(), kind.Kind
	data, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return create(t, kind, string(data))
}

func gvk(apiVersion, kind string) schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(apiVersion, kind)
}

var (
	brokerKind       = gvk("eventing.knative.dev/v1", "Broker")
	triggerKind      = gvk("eventing.knative.dev/v1", "Trigger")
	eventTypeKind    = gvk("eventing.knative.dev/v1beta3", "EventType")
	oldEventTypeKind = gvk("eventing.knative.dev/v1beta2", "EventType")
	policyKind       = gvk("eventing.knative.dev/v1alpha1", "EventPolicy")
	requestReplyKind = gvk("eventing.knative.dev/v1alpha1", "RequestReply")
	kafkaSinkKind    = gvk("eventing.knative.dev/v1alpha1", "KafkaSink")
	channelKind      = gvk("messaging.knative.dev/v1", "Channel")
	memoryKind       = gvk("messaging.knative.dev/v1", "InMemoryChannel")
	subscriptionKind = gvk("messaging.knative.dev/v1", "Subscription")
	kafkaChannelKind = gvk("messaging.knative.dev/v1beta1", "KafkaChannel")
	natsChannelKind  = gvk("messaging.knative.dev/v1alpha1", "NatsJetStreamChannel")
	sequenceKind     = gvk("flows.knative.dev/v1", "Sequence")
	parallelKind     = gvk("flows.knative.dev/v1", "Parallel")
	pingKind         = gvk("sources.knative.dev/v1", "PingSource")
	cronJobKind      = gvk("sources.knative.dev/v1", "CronJobSource")
	apiServerKind    = gvk("sources.knative.dev/v1", "ApiServerSource")
	containerKind    = gvk("sources.knative.dev/v1", "ContainerSource")
	bindingKind      = gvk("sources.knative.dev/v1", "SinkBinding")
	kafkaSourceKind  = gvk("sources.knative.dev/v1", "KafkaSource")
	oldKafkaKind     = gvk("sources.knative.dev/v1beta1", "KafkaSource")
	jobSinkKind      = gvk("sinks.knative.dev/v1alpha1", "JobSink")
)

// good has one object of each kind, of few words.
var good = map[schema.GroupVersionKind]string{
	brokerKind:       `{}`,
	triggerKind:      `spec: {subscriber: {ref: {apiVersion: v1, kind: Service, name: sink}}}`,
	eventTypeKind:    `spec: {attributes: [{name: type, required: true, value: a}, {name: source, required: true}, {name: id, required: true}, {name: specversion, required: true}]}`,
	oldEventTypeKind: `spec: {type: a, source: /b}`,
	policyKind:       `spec: {from: [{sub: "system:serviceaccount:a:*"}], to: [{selector: {matchLabels: {a: b}, apiVersion: eventing.knative.dev/v1, kind: Broker}}]}`,
	requestReplyKind: `spec: {brokerRef: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}}`,
	kafkaSinkKind:    `spec: {topic: orders, bootstrapServers: ["kafka:9092"]}`,
	channelKind:      `{}`,
	memoryKind:       `{}`,
	subscriptionKind: `spec: {channel: {apiVersion: messaging.knative.dev/v1, kind: Channel, name: a}, subscriber: {uri: "http://sink"}}`,
	kafkaChannelKind: `{}`,
	natsChannelKind:  `spec: {stream: {config: {maxAge: 24h, storage: File}}, consumerConfigTemplate: {ackWait: 30s}}`,
	sequenceKind:     `spec: {steps: [{uri: "http://a"}]}`,
	parallelKind:     `spec: {branches: [{subscriber: {uri: "http://a"}}]}`,
	pingKind:         `spec: {schedule: "*/10 * * * * *", timezone: Europe/Vienna, contentType: application/json, data: '[1]', sink: {uri: "http://sink"}}`,
	cronJobKind:      `spec: {schedule: "@hourly", ceOverrides: {extensions: {team: shop}}, sink: {uri: "http://sink"}}`,
	apiServerKind:    `spec: {resources: [{apiVersion: v1, kind: Event, selector: {matchLabels: {a: b}}}], owner: {apiVersion: apps/v1, kind: Deployment}, sink: {uri: "http://sink"}}`,
	containerKind:    `spec: {template: {metadata: {labels: {a: b}}, spec: {hostNetwork: true, containers: [{image: beat, env: [{name: A, value: b}]}]}}, sink: {uri: "http://sink"}}`,
	bindingKind:      `spec: {subject: {apiVersion: batch/v1, kind: Job, selector: {matchLabels: {a: b}}}, sink: {uri: "http://sink"}}`,
	kafkaSourceKind:  `spec: {bootstrapServers: ["kafka:9092"], topics: [orders], net: {sasl: {enable: true, user: {secretKeyRef: {name: a, key: b}}}}, sink: {uri: "http://sink"}}`,
	oldKafkaKind:     `spec: {bootstrapServers: ["kafka:9092"], topics: [orders], sink: {uri: "http://sink"}}`,
	jobSinkKind:      `spec: {job: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: job}]}}}}}`,
}

func TestOneOfEachEventingKindIsAdmittedAndSettles(t *testing.T) {
	set := shipped(t)
	for kind := range eventingKinds {
		manifest, listed := good[kind]
		if !listed {
			t.Errorf("no example of %v", kind)
			continue
		}
		request := evented(t, kind, manifest)
		response := Admit(request, set)
		if response.Refusal != "" || len(response.Warnings) > 0 {
			t.Errorf("%v: %s %q", kind, response.Refusal, response.Warnings)
			continue
		}
		request.New = encode(t, response.Object)
		if again := Admit(request, set); again.Refusal != "" || len(again.Patch) > 0 {
			t.Errorf("%v, asked again: %s %s", kind, again.Refusal, encode(t, again.Patch))
		}
		request.Old, request.Operation = request.New, "UPDATE"
		if again := Admit(request, set); again.Refusal != "" || len(again.Patch) > 0 {
			t.Errorf("%v, not changed: %s %s", kind, again.Refusal, encode(t, again.Patch))
		}
	}
}

const sink = `subscriber: {uri: "http://sink"}`

func TestAnEventingRefusalNamesObjectFieldAndRemedy(t *testing.T) {
	features := "ConfigMap knative-eventing/config-features"
	for name, c := range map[string]struct {
		kind           schema.GroupVersionKind
		manifest, want string
	}{
		"a field that does not exist": {triggerKind, `spec: {` + sink + `, colour: blue}`, `Trigger default/a: spec.colour: unknown field, remove it or correct its spelling`},
		"a nested filter's field":     {triggerKind, `spec: {` + sink + `, filters: [{not: {exakt: {type: a}}}]}`, `Trigger default/a: spec.filters[0].not.exakt: unknown field, remove it or correct its spelling`},
		"no subscriber":               {triggerKind, `spec: {broker: default}`, `Trigger default/a: spec.subscriber: missing, name an object by ref, or give a uri`},
		"a relative URI alone":        {triggerKind, `spec: {subscriber: {uri: /path}}`, `Trigger default/a: spec.subscriber.uri: "/path", must be absolute without ref, with scheme and host; name an object by ref, or write the whole URI`},
		"an absolute URI beside ref":  {triggerKind, `spec: {subscriber: {uri: "http://a/", ref: {apiVersion: v1, kind: Service, name: b}}}`, `Trigger default/a: spec.subscriber.uri: "http://a/", must be relative beside ref, such as "/path"; remove ref, or the scheme and host`},
		"a reference by halves":       {triggerKind, `spec: {subscriber: {ref: {kind: Service, name: b}}}`, `Trigger default/a: spec.subscriber.ref.apiVersion: missing, give the API of the object's kind, such as v1 or serving.knative.dev/v1`},
		"a group":                     {triggerKind, `spec: {subscriber: {ref: {group: serving.knative.dev, kind: Service, name: b}}}`, `Trigger default/a: spec.subscriber.ref.apiVersion: missing, give it in place of group, or set kreference-group to "enabled" in ` + features},
		"an attribute's name":         {triggerKind, `spec: {` + sink + `, filter: {attributes: {My-Type: a}}}`, `Trigger default/a: spec.filter.attributes[My-Type]: "My-Type", must be the name of an attribute: lower-case letters and digits, a letter first`},
		"two dialects":                {triggerKind, `spec: {` + sink + `, filters: [{exact: {type: a}, prefix: {type: b}}]}`, `Trigger default/a: spec.filters[0]: has several dialects (exact, prefix), and must have one; write an entry for each, or nest them in all`},
		"a nested filter":             {triggerKind, `spec: {` + sink + `, filters: [{any: [{not: {suffix: {"a b": c}}}]}]}`, `Trigger default/a: spec.filters[0].any[0].not.suffix[a b]: "a b", must be the name of an attribute: lower-case letters and digits, a letter first`},
		"a duration":                  {triggerKind, `spec: {` + sink + `, delivery: {backoffDelay: 5s}}`, `Trigger default/a: spec.delivery.backoffDelay: "5s", must be an ISO 8601 duration, such as "PT0.2S", "PT30M" or "P1D"`},
		"no timeout at all":           {triggerKind, `spec: {` + sink + `, delivery: {timeout: PT0S}}`, `Trigger default/a: spec.delivery.timeout: "PT0S", must be more than nothing; leave it out for no limit`},
		"a field behind a feature":    {triggerKind, `spec: {` + sink + `, delivery: {retryAfterMax: PT10S}}`, `Trigger default/a: spec.delivery.retryAfterMax: must not be set; remove it, or set delivery-retryafter to "enabled" in ` + features},
		"a policy":                    {triggerKind, `spec: {` + sink + `, delivery: {backoffPolicy: random, retry: -1}}`, "Trigger default/a: spec.delivery.retry: -1, must not be negative; 0 tries once\n" + `Trigger default/a: spec.delivery.backoffPolicy: "random", must be one of "linear", "exponential"`},
		"the guide's annotation":      {triggerKind, "metadata: {annotations: {eventing.knative.dev/delivery.timeout: soon}}\nspec: {" + sink + `}`, `Trigger default/a: metadata.annotations[eventing.knative.dev/delivery.timeout]: "soon", must be a duration of more than nothing, such as "30m" or "PT30M"`},
		"a dependency":                {triggerKind, "metadata: {annotations: {knative.dev/dependency: '{\"kind\":\"PingSource\",\"apiVersion\":\"sources.knative.dev/v1\"}'}}\nspec: {" + sink + `}`, `Trigger default/a: metadata.annotations[knative.dev/dependency].name: missing, name the object that the Trigger waits for`},
		"paused by another word":      {triggerKind, "metadata: {annotations: {eventing.ebb.dev/paused: 'yes'}}\nspec: {" + sink + `}`, `Trigger default/a: metadata.annotations[eventing.ebb.dev/paused]: "yes", must be one of "true", "false"`},
		"injection elsewhere":         {triggerKind, "metadata: {annotations: {eventing.knative.dev/injection: enabled}}\nspec: {broker: other, " + sink + `}`, `Trigger default/a: metadata.annotations[eventing.knative.dev/injection]: is for the Broker "default" only, this Trigger's is "other"; remove the annotation`},
		"another namespace's Broker":  {triggerKind, `spec: {` + sink + `, brokerRef: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: b, namespace: other}}`, `Trigger default/a: spec.brokerRef.namespace: must not be set; remove it, or set cross-namespace-event-links to "enabled" in ` + features},
		"a configuration by halves":   {brokerKind, `spec: {config: {kind: ConfigMap, apiVersion: v1}}`, `Broker default/a: spec.config.name: missing, name the object`},
		"a seven-field schedule":      {pingKind, `spec: {schedule: "0 0 0 1 1 * 2030", sink: {uri: "http://a"}}`, `PingSource default/a: spec.schedule: "0 0 0 1 1 * 2030", has 7 fields; write five fields (six with seconds first) such as "*/5 * * * *", or a macro such as "@hourly"`},
		"a time zone":                 {cronJobKind, `spec: {timezone: Mars, sink: {uri: "http://a"}}`, `CronJobSource default/a: spec.timezone: "Mars", is no time zone; name one such as "Europe/Vienna"`},
		"no JSON":                     {pingKind, `spec: {contentType: application/json, data: "{", sink: {uri: "http://a"}}`, `PingSource default/a: spec.data: "{", is not JSON, as contentType says; correct it, or change contentType`},
		"two payloads":                {pingKind, `spec: {data: a, dataBase64: YQ==, sink: {uri: "http://a"}}`, `PingSource default/a: spec.data: must not be set beside dataBase64; remove one of them`},
		"no sink":                     {cronJobKind, `spec: {}`, `CronJobSource default/a: spec.sink: missing, name an object by ref, or give a uri`},
		"subscribers":                 {channelKind, `spec: {subscribers: [{subscriberUri: "http://a"}]}`, `Channel default/a: spec.subscribers: must not be set: the channel that backs this one has them; make a Subscription`},
		"no channel":                  {subscriptionKind, `spec: {channel: {}, ` + sink + `}`, `Subscription default/a: spec.channel: missing, name a channel by apiVersion, kind and name`},
		"no steps":                    {sequenceKind, `spec: {steps: []}`, `Sequence default/a: spec.steps: missing, give at least one step`},
		"no branches":                 {parallelKind, `spec: {branches: []}`, `Parallel default/a: spec.branches: missing, give at least one branch`},
		"nothing to watch":            {apiServerKind, `spec: {sink: {uri: "http://a"}}`, `ApiServerSource default/a: spec.resources: missing, name at least one kind to watch by apiVersion and kind`},
		"no image":                    {containerKind, `spec: {template: {spec: {containers: [{name: b}]}}, sink: {uri: "http://a"}}`, `ContainerSource default/a: spec.template.spec.containers[0].image: missing, name an image`},
		"a pod's field":               {containerKind, `spec: {template: {spec: {containers: [{image: b, imaeg: c}]}}, sink: {uri: "http://a"}}`, `ContainerSource default/a: spec.template.spec.containers[0].imaeg: unknown field, remove it or correct its spelling`},
		"a subject twice":             {bindingKind, `spec: {subject: {apiVersion: apps/v1, kind: Deployment, name: b, selector: {}}, sink: {uri: "http://a"}}`, `SinkBinding default/a: spec.subject.selector: must not be set beside name; remove one of them`},
		"an offset":                   {kafkaSourceKind, `spec: {bootstrapServers: [a], topics: [b], initialOffset: middle, sink: {uri: "http://a"}}`, `KafkaSource default/a: spec.initialOffset: "middle", must be one of "earliest", "latest"`},
		"a content mode":              {kafkaSinkKind, `spec: {topic: a, bootstrapServers: [b], contentMode: odd}`, `KafkaSink default/a: spec.contentMode: "odd", must be one of "structured", "binary"`},
		"a Job that starts again":     {jobSinkKind, `spec: {job: {spec: {template: {spec: {containers: [{name: a, image: b}]}}}}}`, `JobSink default/a: spec.job.spec.template.spec.restartPolicy: "", must be one of "Never", "OnFailure"`},
		"a star in the middle":        {policyKind, `spec: {from: [{sub: "a*b"}]}`, `EventPolicy default/a: spec.from[0].sub: "a*b", may have * at its end only`},
		"an event's own attribute":    {requestReplyKind, `spec: {brokerRef: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: b}, replyAttribute: id}`, `RequestReply default/a: spec.replyAttribute: "id", is an attribute of every event; name an extension such as "correlationid"`},
		"a type without a source":     {eventTypeKind, `spec: {attributes: [{name: type, required: true}, {name: id, required: true}, {name: specversion, required: true}]}`, `EventType default/a: spec.attributes: missing, add an entry for the attribute source: every event has it`},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Admit(evented(t, c.kind, c.manifest), shipped(t)).Refusal); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
		})
	}
}

func TestABadExpressionIsToldWithTheParsersWord(t *testing.T) {
	got := Admit(evented(t, triggerKind, `spec: {`+sink+`, filters: [{cesql: "type = = 'a'"}]}`), shipped(t)).Refusal
	if !strings.HasPrefix(got, `Trigger default/a: spec.filters[0].cesql: "type = = 'a'", is no CloudEvents SQL expression: `) {
		t.Error(got)
	}
	if got := Admit(evented(t, triggerKind, `spec: {`+sink+`, filters: [{cesql: "type LIKE 'order.%' AND EXISTS region"}]}`), shipped(t)).Refusal; got != "" {
		t.Error(got)
	}
}

func TestWhatCannotBeChangedIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		kind                 schema.GroupVersionKind
		old, changed, prefix string
	}{
		"a Broker's class": {brokerKind, `metadata: {annotations: {eventing.knative.dev/broker.class: MTChannelBasedBroker}}`, `metadata: {annotations: {eventing.knative.dev/broker.class: Kafka}}`,
			`Broker default/a: metadata.annotations[eventing.knative.dev/broker.class]: cannot be changed (was "MTChannelBasedBroker", is "Kafka"); `},
		"a Broker's configuration": {brokerKind, `{}`, `spec: {config: {apiVersion: v1, kind: ConfigMap, name: other}}`, `Broker default/a: spec.config: cannot be changed (was `},
		"a Trigger's Broker":       {triggerKind, `spec: {broker: b, ` + sink + `}`, `spec: {broker: c, ` + sink + `}`, `Trigger default/a: spec.broker: cannot be changed (was "b", is "c"); keep it, or delete the object and make it again`},
		"a Channel's template":     {channelKind, `{}`, `spec: {channelTemplate: {apiVersion: messaging.knative.dev/v1beta1, kind: KafkaChannel}}`, `Channel default/a: spec.channelTemplate: cannot be changed`},
		"a Subscription's channel": {subscriptionKind, good[subscriptionKind], strings.Replace(good[subscriptionKind], "name: a", "name: b", 1), `Subscription default/a: spec.channel: cannot be changed`},
		"a topic":                  {kafkaSinkKind, good[kafkaSinkKind], strings.Replace(good[kafkaSinkKind], "orders", "bills", 1), `KafkaSink default/a: spec.topic: cannot be changed (was "orders", is "bills")`},
		"partitions":               {kafkaChannelKind, `{}`, `spec: {numPartitions: 2}`, `KafkaChannel default/a: spec.numPartitions: cannot be changed (was 1, is 2)`},
		"a type":                   {oldEventTypeKind, `spec: {type: a}`, `spec: {type: b}`, `EventType default/a: spec: cannot be changed`},
	} {
		t.Run(name, func(t *testing.T) {
			old := Admit(evented(t, c.kind, c.old), shipped(t))
			request := evented(t, c.kind, c.changed)
			request.Operation, request.Old = "UPDATE", encode(t, old.Object)
			if got := Admit(request, shipped(t)).Refusal; !strings.HasPrefix(got, c.prefix) {
				t.Errorf("got %q\nwant %q", got, c.prefix)
			}
		})
	}
}

func TestTheEventingConfigMapsAreJudgedByTheirNamespace(t *testing.T) {
	got := Admit(create(t, configMapKind, "metadata: {name: config-features, namespace: knative-eventing}\ndata: {transport-encryption: always}"), shipped(t)).Refusal
	want := `ConfigMap knative-eventing/config-features: transport-encryption: "always" is not known; write one of "Disabled", "Permissive", "Strict"`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("refusal (-want +got):\n%s", diff)
	}
	set, _, err := shipped(t).WithIn("knative-eventing", config.EventingFeaturesName, map[string]string{"delivery-retryafter": "enabled"})
	if err != nil {
		t.Fatal(err)
	}
	if got := Admit(evented(t, triggerKind, `spec: {`+sink+`, delivery: {retryAfterMax: PT10S}}`), set).Refusal; got != "" {
		t.Error(got)
	}
}

// Whatever somebody sends: a refusal that names the object, or an object that settles. Never a panic.
func FuzzAdmitEvents(f *testing.F) {
	var gvks []schema.GroupVersionKind
	for kind := range good {
		gvks = append(gvks, kind)
	}
	sortKinds(gvks)
	for i, kind := range gvks {
		f.Add(i, evented(f, kind, good[kind]).New)
	}
	f.Add(0, evented(f, triggerKind, `spec: {filters: [{cesql: "a = 'b' AND (c LIKE 'd')"}, {all: [{any: [{not: {exact: {a: b}}}]}]}]}`).New)
	set := shipped(f)
	f.Fuzz(func(t *testing.T, i int, object []byte) {
		kind := gvks[uint(i)%uint(len(gvks))]
		request := Request{Kind: kind, Operation: "CREATE", Namespace: "default", Name: "a", User: "alice", New: object}
		response := Admit(request, set)
		if response.Refusal != "" {
			if !strings.HasPrefix(response.Refusal, kind.Kind+" default/a: ") {
				t.Errorf("a refusal that names no object: %q", response.Refusal)
			}
			return
		}
		request.New = encode(t, response.Object)
		if again := Admit(request, set); again.Refusal != "" || len(again.Patch) > 0 {
			t.Errorf("asked again: %s %s", again.Refusal, encode(t, again.Patch))
		}
	})
}

func sortKinds(kinds []schema.GroupVersionKind) {
	slices.SortFunc(kinds, func(a, b schema.GroupVersionKind) int { return strings.Compare(a.String(), b.String()) })
}
