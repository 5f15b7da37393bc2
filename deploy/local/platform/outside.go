package platform

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"ebb.dev/ebb/deploy/local/state"
)

// outside are folders that a kubelet makes wherever its own folder is.
var outside = []string{"/var/lib/kubelet/device-plugins", "/var/lib/kubelet"}

// rememberOutside writes down which of them are not there before a kubelet starts.
func rememberOutside(dir *state.Dir) error {
	path := dir.Path("machine.json")
	if exists(path) {
		return nil
	}
	var missing []string
	for _, p := range outside {
		if !exists(p) {
			missing = append(missing, p)
		}
	}
	data, err := json.Marshal(missing)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// removeOutside removes those that were not there, if nobody else has put anything into them.
func removeOutside(dir *state.Dir) error {
	path := dir.Path("machine.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var missing []string
	if err := json.Unmarshal(data, &missing); err != nil {
		return err
	}
	for _, p := range missing {
		for _, own := range []string{"kubelet.sock", "kubelet_internal_checkpoint", "DEPRECATION"} {
			os.Remove(filepath.Join(p, own))
		}
		os.Remove(p)
	}
	return os.Remove(path)
}
