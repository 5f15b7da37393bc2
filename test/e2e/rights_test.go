package e2e

import (
	"fmt"
	"regexp"
	"strings"
)

// overstep is what an API client says that has asked for more than its process may.
var overstep = regexp.MustCompile(`is forbidden: User \\?"(system:serviceaccount:(ebb-system|knative-eventing):ebb-|ebb:)[a-z:-]*\\?" cannot`)

// oversteps looks whether Ebb's processes needed, in all that was done, a right that they do not have: the same roles are those of a cluster.
func (p *platform) oversteps() error {
	for _, component := range []string{"control-plane", "broker", "gateway", "node"} {
		out, err := p.log(component)
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			if overstep.MatchString(line) {
				return fmt.Errorf("%s needs a right it does not have: %s", component, line)
			}
		}
	}
	return nil
}
