// Command ebb-kube is the Kubernetes of `ebb up`: etcd, API server, controller manager, scheduler, kubelet, kube-proxy and cluster DNS in
// one process, and the real kubectl.
//
// In: one JSON file (Config) that says which components run and where their certificates and folders are. Out: log lines on standard error
// and a process that serves until SIGTERM or until one component ends.
//
// Hard rule: a component that ends takes the process with it. The supervisor that started ebb-kube starts it again; nothing limps.
//
// It is a module of its own so that Kubernetes stays out of the main module's build. The versions of what both use are held equal
// (TestSharedDependenciesHaveTheMainModulesVersions in deploy/local/kube), so that one build cache serves both.
package main
