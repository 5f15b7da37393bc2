package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/admission"
	"ebb.dev/ebb/crds/manifests"
	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
)

// systemNamespaces are Knative's, where its ConfigMaps live, and ours.
var systemNamespaces = []string{"ebb-system", "knative-serving", "knative-eventing"}

// install puts namespaces, kinds and ConfigMaps into the cluster: what is missing is made, kinds are brought up to date,
// and what a user wrote into a ConfigMap stays.
func install(ctx context.Context, c client.Client, domain string) error {
	for _, name := range systemNamespaces {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := ensure(ctx, c, namespace, &corev1.Namespace{}); err != nil {
			return fmt.Errorf("create namespace %s: %w", name, err)
		}
	}
	accounts := identity.DefaultAccounts()
	for _, key := range []model.Key{accounts.Gateway, accounts.Node, accounts.Broker} {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
		if err := ensure(ctx, c, account, &corev1.ServiceAccount{}); err != nil {
			return fmt.Errorf("create service account %s: %w", key, err)
		}
	}
	crds := manifests.CustomResourceDefinitions()
	for _, crd := range crds {
		if err := upsertCRD(ctx, c, crd); err != nil {
			return err
		}
	}
	for _, crd := range crds {
		if err := established(ctx, c, crd.Name); err != nil {
			return err
		}
	}
	for _, defaults := range slices.Concat(manifests.ConfigMaps(), manifests.EventingConfigMaps()) {
		if defaults.Name == "config-domain" && domain != "" {
			if defaults.Data == nil {
				defaults.Data = map[string]string{}
			}
			defaults.Data[domain] = ""
		}
		// Looked for first: to create one asks admission, which is not up yet after a restart.
		err := c.Get(ctx, client.ObjectKeyFromObject(defaults), &corev1.ConfigMap{})
		if apierrors.IsNotFound(err) {
			err = c.Create(ctx, defaults)
		}
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create ConfigMap %s/%s: %w", defaults.Namespace, defaults.Name, err)
		}
	}
	return nil
}

// ensure creates an object that is not there. Where the manifests of a cluster have made it, we need no right to.
func ensure(ctx context.Context, c client.Client, wanted, have client.Object) error {
	err := c.Get(ctx, client.ObjectKeyFromObject(wanted), have)
	if apierrors.IsNotFound(err) {
		err = c.Create(ctx, wanted)
	}
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// hashAnnotation remembers what a kind was installed from, so that an unchanged one costs a read.
const hashAnnotation = "ebb.dev/manifest-hash"

func upsertCRD(ctx context.Context, c client.Client, wanted *apiextensionsv1.CustomResourceDefinition) error {
	spec, err := json.Marshal(wanted.Spec)
	if err != nil {
		return fmt.Errorf("read the manifest of %s: %w", wanted.Name, err)
	}
	hash := fmt.Sprintf("%x", sha256.Sum256(spec))[:16]
	if wanted.Annotations == nil {
		wanted.Annotations = map[string]string{}
	}
	wanted.Annotations[hashAnnotation] = hash
	var have apiextensionsv1.CustomResourceDefinition
	err = c.Get(ctx, client.ObjectKeyFromObject(wanted), &have)
	switch {
	case apierrors.IsNotFound(err):
		err = c.Create(ctx, wanted)
	case err == nil && have.Annotations[hashAnnotation] != hash:
		wanted.ResourceVersion = have.ResourceVersion
		err = c.Update(ctx, wanted)
	}
	if err != nil {
		return fmt.Errorf("install kind %s: %w", wanted.Name, err)
	}
	return nil
}

func established(ctx context.Context, c client.Client, name string) error {
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		var crd apiextensionsv1.CustomResourceDefinition
		if err := c.Get(ctx, client.ObjectKey{Name: name}, &crd); err != nil {
			return false, client.IgnoreNotFound(err)
		}
		for _, condition := range crd.Status.Conditions {
			if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("wait for kind %s to be served: %w", name, err)
	}
	return nil
}

// registerWebhooks points the API server at our admission, with the roots that vouch for it.
func registerWebhooks(ctx context.Context, c client.Client, endpoint func(path string) admissionregistrationv1.WebhookClientConfig) error {
	mutating := admission.Mutating(endpoint)
	var have admissionregistrationv1.MutatingWebhookConfiguration
	err := c.Get(ctx, client.ObjectKeyFromObject(mutating), &have)
	switch {
	case apierrors.IsNotFound(err):
		err = c.Create(ctx, mutating)
	case err == nil:
		mutating.ResourceVersion = have.ResourceVersion
		err = c.Update(ctx, mutating)
	}
	if err != nil {
		return fmt.Errorf("register webhook %s: %w", mutating.Name, err)
	}
	for _, validating := range []*admissionregistrationv1.ValidatingWebhookConfiguration{admission.Config(endpoint)} {
		var have admissionregistrationv1.ValidatingWebhookConfiguration
		err := c.Get(ctx, client.ObjectKeyFromObject(validating), &have)
		switch {
		case apierrors.IsNotFound(err):
			err = c.Create(ctx, validating)
		case err == nil:
			validating.ResourceVersion = have.ResourceVersion
			err = c.Update(ctx, validating)
		}
		if err != nil {
			return fmt.Errorf("register webhook %s: %w", validating.Name, err)
		}
	}
	return nil
}
