package networking

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

var userAnnotations = []string{
	IngressClassAnnotationKey, IngressClassAltAnnotationKey,
	CertificateClassAnnotationKey, CertificateClassAltAnnotationKey,
	HTTPOptionAnnotationKey, HTTPProtocolAnnotationKey,
	DisableExternalDomainTLSAnnotationKey, DisableAutoTLSAnnotationKey, DisableAutoTLSAltAnnotationKey,
}

// ValidateAnnotations returns an error for each annotation of the public networking group that is not known.
// path is where the annotations are.
func ValidateAnnotations(annotations map[string]string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if strings.HasPrefix(key, PublicGroupName) && !slices.Contains(userAnnotations, key) {
			errs = append(errs, field.Forbidden(path.Key(key),
				"is no annotation of "+PublicGroupName+"; known are "+strings.Join(userAnnotations, ", ")))
		}
	}
	return errs
}
