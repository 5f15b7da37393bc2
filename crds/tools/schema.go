package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-tools/pkg/crd"
	"sigs.k8s.io/yaml"
)

const (
	corePackage = "k8s.io/api/core/v1"
	metaPackage = "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// table says which fields of a core type a revision may set, and the features that open each. See fields.yaml.
type table map[string]map[string][]string

func readTable(path string) (table, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var t table
	if err := yaml.UnmarshalStrict(data, &t); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// inlined names the table's entry for types that are inlined into a listed type.
var inlined = map[string]string{"VolumeSource": "Volume", "ProbeHandler": "Probe"}

// optional are required fields of Kubernetes that Knative fills in.
var optional = map[string]string{
	"Container":       "name",
	"ContainerPort":   "containerPort",
	"HTTPGetAction":   "port",
	"TCPSocketAction": "port",
	"GRPCAction":      "port",
}

// notMaps are fields whose lists Kubernetes keys by a field that Knative fills in: the API server sees them before they have one.
var notMaps = map[string]string{"PodSpec": "containers", "Container": "ports"}

// referenceFields are those of a reference within the namespace. The others are pruned: clients fill them in by habit.
var referenceFields = []string{"apiVersion", "kind", "name"}

// maskPod edits the schemas of the pod's types, before they are put together: open fields stay, fields behind a feature are
// named with it, and the rest is named as refused. What is named is not pruned, so that validation can refuse it by name.
func maskPod(schemata map[crd.TypeIdent]apiextensionsv1.JSONSchemaProps, t table) {
	for ident, schema := range schemata {
		if ident.Package.PkgPath != corePackage {
			continue
		}
		name := ident.Name
		if field := optional[name]; field != "" {
			schema.Required = slices.DeleteFunc(slices.Clone(schema.Required), func(f string) bool { return f == field })
		}
		if field := notMaps[name]; field != "" {
			list := schema.Properties[field]
			list.XListType, list.XListMapKeys = nil, nil
			schema.Properties[field] = list
		}
		if owner := inlined[name]; owner != "" {
			name = owner
		}
		if fields, listed := t[name]; listed {
			mask(schema.Properties, fields)
		}
		if name == "ObjectReference" {
			maps.DeleteFunc(schema.Properties, func(field string, _ apiextensionsv1.JSONSchemaProps) bool {
				return !slices.Contains(referenceFields, field)
			})
		}
		schemata[ident] = schema
	}
}

func mask(properties map[string]apiextensionsv1.JSONSchemaProps, fields map[string][]string) {
	for name, schema := range properties {
		features, listed := fields[name]
		switch {
		case !listed:
			properties[name] = closed(schema, "Refused: revisions do not have this field.")
		case len(features) > 0:
			properties[name] = closed(schema, "Open with "+strings.Join(features, " or ")+" in ConfigMap config-features.")
		}
	}
}

// closed returns a schema that lets through whatever stands there, for validation to judge.
func closed(schema apiextensionsv1.JSONSchemaProps, description string) apiextensionsv1.JSONSchemaProps {
	out := anything(schema)
	out.Description = description
	out.XMapType = schema.XMapType
	if schema.Type == "array" {
		item := anything(*schema.Items.Schema)
		out.Items = &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &item}
	}
	return out
}

// anything returns a schema of the same type that says nothing of what is inside.
func anything(schema apiextensionsv1.JSONSchemaProps) apiextensionsv1.JSONSchemaProps {
	preserve := true
	switch {
	case isStringMap(schema):
		return apiextensionsv1.JSONSchemaProps{Type: "object", AdditionalProperties: schema.AdditionalProperties}
	case refersToString(schema):
		return apiextensionsv1.JSONSchemaProps{Type: "string"}
	case schema.Type == "" || schema.Type == "object":
		return apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: &preserve}
	default:
		return apiextensionsv1.JSONSchemaProps{Type: schema.Type, Format: schema.Format}
	}
}

func isStringMap(schema apiextensionsv1.JSONSchemaProps) bool {
	values := schema.AdditionalProperties
	return values != nil && values.Schema != nil && values.Schema.Type == "string"
}

// stringTypes are the named string types among closed fields. Before the schemas are put together they are references.
var stringTypes = []string{
	"Capability", "ContainerRestartPolicy", "DNSPolicy", "MountPropagationMode", "PreemptionPolicy", "ProcMountType",
	"RecursiveReadOnlyMode", "RestartPolicy",
}

func refersToString(schema apiextensionsv1.JSONSchemaProps) bool {
	if schema.Ref == nil {
		return false
	}
	name := (*schema.Ref)[strings.LastIndexAny(*schema.Ref, "~/")+1:]
	return slices.Contains(stringTypes, name)
}

// filterType is a type that nests itself, which a definition cannot say.
const filterType = "SubscriptionsAPIFilter"

// endFilters lets through whatever stands inside a nested filter, for validation to judge.
func endFilters(schemata map[crd.TypeIdent]apiextensionsv1.JSONSchemaProps) {
	for ident, schema := range schemata {
		if ident.Name != filterType {
			continue
		}
		for _, name := range []string{"all", "any", "not"} {
			property := schema.Properties[name]
			nested := anything(apiextensionsv1.JSONSchemaProps{Type: "object"})
			if name == "not" {
				nested.Description = property.Description
				schema.Properties[name] = nested
				continue
			}
			property.Items = &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &nested}
			schema.Properties[name] = property
		}
	}
}

// shorten keeps of each description what kubectl explain needs: the first paragraph of our own, the first sentence of Kubernetes'.
func shorten(schemata map[crd.TypeIdent]apiextensionsv1.JSONSchemaProps) {
	for ident, schema := range schemata {
		cut := firstParagraph
		if ident.Package.PkgPath == corePackage || ident.Package.PkgPath == metaPackage {
			cut = firstSentence
		}
		schema.Description = cut(schema.Description)
		for name, property := range schema.Properties {
			property.Description = cut(property.Description)
			schema.Properties[name] = property
		}
		schemata[ident] = schema
	}
}

func firstParagraph(s string) string {
	s, _, _ = strings.Cut(s, "\n\n")
	return strings.Join(strings.Fields(s), " ")
}

func firstSentence(s string) string {
	s = firstParagraph(s)
	if end := strings.Index(s, ". "); end >= 0 {
		s = s[:end+1]
	}
	return s
}
