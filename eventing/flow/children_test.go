package flow

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing/validation"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
)

var update = flag.Bool("update", false, "rewrite the goldens")

func TestWhatAFlowIsMadeOf(t *testing.T) {
	cases, err := filepath.Glob("testdata/*/in.yaml")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, in := range cases {
		dir := filepath.Dir(in)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			data, err := os.ReadFile(in)
			if err != nil {
				t.Fatal(err)
			}
			got := written(t, childrenOf(t, data))
			golden := filepath.Join(dir, "out.yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func childrenOf(t *testing.T, data []byte) Children {
	t.Helper()
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(data, &kind); err != nil {
		t.Fatal(err)
	}
	var children Children
	var err error
	switch kind.Kind {
	case "Sequence":
		var s flowsv1.Sequence
		if err := yaml.UnmarshalStrict(data, &s); err != nil {
			t.Fatal(err)
		}
		children, err = SequenceChildren(&s)
	case "Parallel":
		var p flowsv1.Parallel
		if err := yaml.UnmarshalStrict(data, &p); err != nil {
			t.Fatal(err)
		}
		children, err = ParallelChildren(&p)
	default:
		t.Fatalf("kind %q", kind.Kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range children.Subscriptions {
		for _, wrong := range validation.Subscription(s, nil, &config.Eventing{}).Errors {
			t.Errorf("admission refuses Subscription %s: %v", s.Name, wrong)
		}
	}
	return children
}

func written(t *testing.T, children Children) []byte {
	t.Helper()
	var out bytes.Buffer
	write := func(o any) {
		data, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if out.Len() > 0 {
			out.WriteString("---\n")
		}
		out.Write(data)
	}
	for _, c := range children.Channels {
		write(c)
	}
	for _, s := range children.Subscriptions {
		write(s)
	}
	return out.Bytes()
}

func TestABackingChannelHasTheDeliveryOfItsChannel(t *testing.T) {
	retry := int32(4)
	c := &messagingv1.Channel{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "c1"}}
	c.Spec.Delivery = &duck.DeliverySpec{Retry: &retry}
	c.Spec.ChannelTemplate = &duck.ChannelTemplateSpec{TypeMeta: typeOf(inMemoryChannelKind), Spec: &runtime.RawExtension{Raw: []byte(`{"delivery":{"retry":9}}`)}}
	got, err := BackingOf(c)
	if err != nil {
		t.Fatal(err)
	}
	var made messagingv1.InMemoryChannel
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(got.Object, &made); err != nil {
		t.Fatal(err)
	}
	if made.Name != "orders" || !metav1.IsControlledBy(&made, c) || *made.Spec.Delivery.Retry != 4 {
		t.Errorf("made %+v", made)
	}
}

func TestATemplateThatIsNoObjectIsTold(t *testing.T) {
	for _, template := range []*duck.ChannelTemplateSpec{
		{TypeMeta: metav1.TypeMeta{APIVersion: "messaging.knative.dev/v1", Kind: "InMemoryChannel"}, Spec: &runtime.RawExtension{Raw: []byte(`[1]`)}},
		{TypeMeta: metav1.TypeMeta{APIVersion: "a/b/c", Kind: "InMemoryChannel"}},
	} {
		s := &flowsv1.Sequence{Spec: flowsv1.SequenceSpec{ChannelTemplate: template, Steps: make([]flowsv1.SequenceStep, 1)}}
		if _, err := SequenceChildren(s); err == nil || !strings.Contains(err.Error(), "spec.channelTemplate") {
			t.Errorf("error %v", err)
		}
	}
}
