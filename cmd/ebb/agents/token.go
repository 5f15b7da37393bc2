package agents

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/xds/agent"
	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
)

// tokenLife is asked for; the API server gives no less than ten minutes.
const tokenLife = 3600

// client connects to the API server.
func client(kubeconfig string) (kubernetes.Interface, *rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, nil, fmt.Errorf("kubeconfig: %w", err)
	}
	config.UserAgent = "ebb"
	config.QPS, config.Burst = -1, -1
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("kubeconfig %q: %w", kubeconfig, err)
	}
	return kube, config, nil
}

// Token is where a process's proof comes from: a projected file in a cluster; on a laptop it is asked for, bound to the
// Node when node is not empty.
func Token(file, kubeconfig string, account model.Key, node string) (func(context.Context) (string, error), error) {
	if file != "" {
		return agent.TokenFile(file), nil
	}
	kube, _, err := client(kubeconfig)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (string, error) {
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			Audiences: []string{identity.Audience}, ExpirationSeconds: ptr.To[int64](tokenLife),
		}}
		if node != "" {
			object, err := kube.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
			if err != nil {
				return "", fmt.Errorf("node %s: %w", node, err)
			}
			request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{
				APIVersion: "v1", Kind: "Node", Name: object.Name, UID: object.UID,
			}
		}
		out, err := kube.CoreV1().ServiceAccounts(account.Namespace).CreateToken(ctx, account.Name, request, metav1.CreateOptions{})
		if err != nil {
			return "", fmt.Errorf("token of service account %s: %w", account, err)
		}
		return out.Status.Token, nil
	}, nil
}
