package image

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	corev1 "k8s.io/api/core/v1"
)

// Keychain holds registry credentials as imagePullSecrets carry them. The most specific entry that matches a repository wins.
type Keychain struct {
	entries []credential
}

type credential struct {
	host string // may hold * inside one part of the name
	path string // prefix of the repository, or empty
	auth authn.AuthConfig
}

// NewKeychain reads imagePullSecrets of both types, dockerconfigjson and dockercfg. A secret that cannot be read is an error that names it.
func NewKeychain(secrets ...*corev1.Secret) (*Keychain, error) {
	k := &Keychain{}
	for _, s := range secrets {
		var err error
		switch {
		case len(s.Data[corev1.DockerConfigJsonKey]) > 0:
			var file struct {
				Auths map[string]authn.AuthConfig `json:"auths"`
			}
			if err = json.Unmarshal(s.Data[corev1.DockerConfigJsonKey], &file); err == nil {
				err = k.add(file.Auths)
			}
		case len(s.Data[corev1.DockerConfigKey]) > 0:
			var auths map[string]authn.AuthConfig
			if err = json.Unmarshal(s.Data[corev1.DockerConfigKey], &auths); err == nil {
				err = k.add(auths)
			}
		default:
			err = fmt.Errorf("has no %s", corev1.DockerConfigJsonKey)
		}
		if err != nil {
			return nil, fmt.Errorf("imagePullSecret %s/%s: %w; make it with: kubectl create secret docker-registry", s.Namespace, s.Name, err)
		}
	}
	return k, nil
}

func (k *Keychain) add(auths map[string]authn.AuthConfig) error {
	for key, auth := range auths {
		if auth.Auth != "" && auth.Username == "" {
			plain, err := base64.StdEncoding.DecodeString(auth.Auth)
			if err != nil {
				return fmt.Errorf("auth of %s is not base64", key)
			}
			user, password, ok := strings.Cut(strings.TrimRight(string(plain), "\x00"), ":")
			if !ok {
				return fmt.Errorf("auth of %s is not user:password", key)
			}
			auth.Username, auth.Password = user, password
		}
		host, prefix := splitServer(key)
		k.entries = append(k.entries, credential{host: host, path: prefix, auth: auth})
	}
	return nil
}

// splitServer reads the key of an entry: https://index.docker.io/v1/, gcr.io, *.azurecr.io, registry.example.com/team.
func splitServer(key string) (host, prefix string) {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, prefix, _ = strings.Cut(key, "/")
	prefix = strings.Trim(prefix, "/")
	if prefix == "v1" || prefix == "v2" {
		prefix = ""
	}
	if isDockerHub(host) {
		host = "index.docker.io"
	}
	return host, prefix
}

// Resolve finds the credentials for a repository; Anonymous where there are none.
func (k *Keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	host, repository, _ := strings.Cut(target.String(), "/")
	if isDockerHub(host) {
		host = "index.docker.io"
	}
	var best *credential
	for i := range k.entries {
		c := &k.entries[i]
		if !hostMatches(c.host, host) || c.path != "" && repository != c.path && !strings.HasPrefix(repository, c.path+"/") {
			continue
		}
		if best == nil || len(c.path) > len(best.path) || len(c.path) == len(best.path) && c.host == host {
			best = c
		}
	}
	if best == nil {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(best.auth), nil
}

// hostMatches compares part by part, so that * never spans a dot.
func hostMatches(pattern, host string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(host, ".")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if ok, err := path.Match(want[i], have[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
