package v1alpha1

// SetDefaults fills in what the spec leaves out: visibility, and the share of a path's only backend.
func (i *Ingress) SetDefaults() {
	for r := range i.Spec.Rules {
		rule := &i.Spec.Rules[r]
		if rule.Visibility == "" {
			rule.Visibility = IngressVisibilityExternalIP
		}
		if rule.HTTP == nil {
			continue
		}
		for p := range rule.HTTP.Paths {
			if splits := rule.HTTP.Paths[p].Splits; len(splits) == 1 && splits[0].Percent == 0 {
				splits[0].Percent = 100
			}
		}
	}
}
