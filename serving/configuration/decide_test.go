package configuration

import (
	"errors"
	"testing"

	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/goldentest"
	"ebb.dev/ebb/serving/naming"
	"ebb.dev/ebb/serving/status"
)

func input(t *testing.T, c *goldentest.Case) Input {
	configuration := goldentest.First[*servingv1.Configuration](c, "")
	in := Input{
		Configuration: configuration, Defaults: c.Defaults, Now: goldentest.Now, BornAsleep: c.Config.Autoscaler.InitialScale == 0,
		Named: goldentest.First[*servingv1.Revision](c, naming.Wanted(configuration)),
	}
	for _, r := range goldentest.All[*servingv1.Revision](c) {
		if len(r.OwnerReferences) > 0 && r.OwnerReferences[0].UID == configuration.UID {
			in.Revisions = append(in.Revisions, *r)
		}
	}
	var given struct{ Routes []string }
	c.Given(t, &given)
	in.Routes = given.Routes
	return in
}

func TestGoldens(t *testing.T) {
	goldentest.Run(t, func(t *testing.T, c *goldentest.Case) any {
		in := input(t, c)
		d := Decide(in)
		return goldentest.Show(t, d.Plan, d.News).WithStatus(in.Configuration.Status, d.Status, d.Pace)
	})
}

func TestWhatIsDoneIsNotDoneAgain(t *testing.T) {
	goldentest.Again(t, func(t *testing.T, c *goldentest.Case) apply.Plan { return Decide(input(t, c)).Plan })
}

func TestARevisionThatTheServerRefusesIsTold(t *testing.T) {
	in := input(t, goldentest.Load(t, "testdata/the-first-revision/in.yaml"))
	d := Refused(in, errors.New("no more than 10 revisions here"))
	ready := d.Status.GetCondition(servingv1.ConfigurationConditionReady)
	if !ready.IsFalse() || ready.Message != "Revision creation failed with message: no more than 10 revisions here." || d.Pace != status.Now {
		t.Errorf("%+v", d)
	}
}
