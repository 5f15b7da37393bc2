package volume

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/deploy/local/light/podenv"
)

type objects struct{ data map[string]string }

func (o objects) ConfigMap(_, name string) (*corev1.ConfigMap, error) {
	if o.data == nil {
		return nil, errors.New(`configmap "` + name + `" not found`)
	}
	return &corev1.ConfigMap{Data: o.data}, nil
}
func (objects) Secret(string, string) (*corev1.Secret, error) {
	return &corev1.Secret{Data: map[string][]byte{"pw": []byte("hush")}}, nil
}
func (objects) Token(*corev1.Pod, *corev1.ServiceAccountTokenProjection) (string, error) {
	return "token", nil
}

func content(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAVolumeChangesAllAtOnceAndOnlyWhenItsSourceDoes(t *testing.T) {
	dir := t.TempDir()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", Labels: map[string]string{"a": "b"}}}
	read := int32(0o400)
	v := &corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ConfigMap: &corev1.ConfigMapProjection{}},
		{Secret: &corev1.SecretProjection{Items: []corev1.KeyToPath{{Key: "pw", Path: "deep/er/password", Mode: &read}}}},
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
		{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}},
	}}}}
	src := objects{map[string]string{"one": "1", "two": "2"}}
	path, err := Prepare(dir, pod, v, src, podenv.Facts{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"one": "1", "two": "2", "deep/er/password": "hush", "token": "token", "labels": `a="b"`} {
		if got := content(t, filepath.Join(path, name)); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if info, _ := os.Stat(filepath.Join(path, "deep/er/password")); info.Mode().Perm() != 0o400 {
		t.Errorf("mode %s", info.Mode())
	}
	before, _ := os.Readlink(filepath.Join(path, dataLink))
	if err := Update(dir, pod, v, src, podenv.Facts{}); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Readlink(filepath.Join(path, dataLink)); after != before {
		t.Error("written again though nothing changed")
	}
	src.data = map[string]string{"one": "11"}
	if err := Update(dir, pod, v, src, podenv.Facts{}); err != nil {
		t.Fatal(err)
	}
	if got := content(t, filepath.Join(path, "one")); got != "11" {
		t.Errorf("one: %q", got)
	}
	if _, err := os.Lstat(filepath.Join(path, "two")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("two is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(path, before)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old version is still there: %v", err)
	}
}

func TestAMissingSourceIsNamedUnlessOptional(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns"}}
	cm := &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "gone"}}
	v := &corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{ConfigMap: cm}}
	_, err := Prepare(t.TempDir(), pod, v, objects{}, podenv.Facts{}, nil)
	if err == nil || err.Error() != `MountVolume.SetUp failed for volume "v" : configmap "gone" not found` {
		t.Errorf("got %v", err)
	}
	yes := true
	cm.Optional = &yes
	if _, err := Prepare(t.TempDir(), pod, v, objects{}, podenv.Facts{}, nil); err != nil {
		t.Error(err)
	}
	cm.Items = []corev1.KeyToPath{{Key: "k", Path: "../../x"}}
	if _, err := Prepare(t.TempDir(), pod, v, objects{map[string]string{"k": "v"}}, podenv.Facts{}, nil); err == nil {
		t.Error("a path that leaves the volume was accepted")
	}
}
