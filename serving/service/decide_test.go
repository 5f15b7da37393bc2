package service

import (
	"testing"

	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/goldentest"
)

func input(c *goldentest.Case) Input {
	s := goldentest.First[*servingv1.Service](c, "")
	in := Input{
		Service: s, Defaults: c.Defaults, Now: goldentest.Now,
		Configuration: goldentest.First[*servingv1.Configuration](c, s.Name),
		Route:         goldentest.First[*servingv1.Route](c, s.Name),
	}
	if name := s.Spec.Template.Name; name != "" {
		in.Named = goldentest.First[*servingv1.Revision](c, name)
	}
	return in
}

func TestGoldens(t *testing.T) {
	goldentest.Run(t, func(t *testing.T, c *goldentest.Case) any {
		in := input(c)
		d := Decide(in)
		return goldentest.Show(t, d.Plan, nil).WithStatus(in.Service.Status, d.Status, d.Pace)
	})
}

func TestWhatIsDoneIsNotDoneAgain(t *testing.T) {
	goldentest.Again(t, func(_ *testing.T, c *goldentest.Case) apply.Plan { return Decide(input(c)).Plan })
}
