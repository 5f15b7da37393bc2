package pki

import (
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig writes a kubeconfig at path with which name's certificate talks to server (a URL). It holds the certificates themselves, so
// that the file works wherever it is copied on this machine.
func (f Folder) Kubeconfig(path, name, server string) error {
	ca, err := os.ReadFile(f.CA())
	if err != nil {
		return err
	}
	cert, err := os.ReadFile(f.Cert(name))
	if err != nil {
		return err
	}
	key, err := os.ReadFile(f.Key(name))
	if err != nil {
		return err
	}
	conf := clientcmdapi.NewConfig()
	conf.Clusters["ebb"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	conf.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	conf.Contexts["ebb"] = &clientcmdapi.Context{Cluster: "ebb", AuthInfo: name, Namespace: "default"}
	conf.CurrentContext = "ebb"
	data, err := clientcmd.Write(*conf)
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	return writePrivate(path, data)
}
