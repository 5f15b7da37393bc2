package validation

import (
	"testing"

	"ebb.dev/ebb/crds/config"
)

const c0 = "spec.template.spec.containers[0]"

func TestContainersKeepToTheContract(t *testing.T) {
	run(t, []example{
		{name: "the least one", manifest: container("")},
		{name: "none", manifest: podOf(""), want: []string{"spec.template.spec.containers: give one container"}},
		{name: "no image", manifest: podOf("containers: [{name: app}]"), want: []string{c0 + ".image: name an image"}},
		{name: "no image reference", manifest: podOf(`containers: [{image: "foo:bar:baz"}]`), want: []string{c0 + ".image: Failed to parse image reference"}},
		{name: "a digest", manifest: podOf(`containers: [{image: "reg.example/shop@sha256:0000000000000000000000000000000000000000000000000000000000000000"}]`)},
		{name: "the sidecar's name", manifest: container("name: queue-proxy"), want: []string{c0 + ".name: reserved container name"}},
		{name: "no name", manifest: container("name: Not_A_Name"), want: []string{c0 + ".name: is no name of a container"}},
		{name: "two with one name", manifest: podOf("containers: [{image: a, name: x, ports: [{}]}, {image: b, name: x}]"),
			want: []string{"spec.template.spec.containers[1].name: Duplicate"}},
		{name: "reserved variables", manifest: container("env: [{name: PORT}, {name: K_SERVICE}, {name: K_CONFIGURATION}, {name: K_REVISION}, {name: HOME}]"),
			want: []string{c0 + ".env[0].name: PORT", c0 + ".env[1].name: K_SERVICE", c0 + ".env[2].name: K_CONFIGURATION", c0 + ".env[3].name: K_REVISION"}},
		{name: "PORT is free beside the serving container", manifest: podOf("containers: [{image: a, ports: [{}]}, {image: b, env: [{name: PORT}, {name: K_REVISION}]}]"),
			want: []string{"spec.template.spec.containers[1].env[1].name: K_REVISION"}},
		{name: "a variable without a name", manifest: container("env: [{value: x}]"), want: []string{c0 + ".env[0].name: name the variable"}},
		{name: "a field reference", manifest: container("env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]"),
			want: []string{c0 + ".env[0].valueFrom.fieldRef: kubernetes.podspec-fieldref"}},
		{name: "a field reference where it is open", manifest: container("env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]"),
			features: on(config.PodSpecFieldRef)},
		{name: "envFrom both and neither", manifest: container("envFrom: [{secretRef: {name: a}, configMapRef: {name: b}}, {prefix: P}]"),
			want: []string{c0 + ".envFrom[0]: got both", c0 + ".envFrom[1]: got neither"}},
		{name: "policies", manifest: container("terminationMessagePolicy: Shout, imagePullPolicy: Maybe"),
			want: []string{c0 + ".terminationMessagePolicy: FallbackToLogsOnError", c0 + ".imagePullPolicy: IfNotPresent"}},
		{name: "resources", manifest: container(`resources: {requests: {cpu: "2", memory: -1Mi}, limits: {cpu: "1"}}`),
			want: []string{c0 + ".resources.requests[cpu]: at most the limit", c0 + ".resources.requests[memory]: not be negative"}},
		{name: "a service account", manifest: podOf("containers: [{image: a}], serviceAccountName: Not_A_Name"),
			want: []string{"spec.template.spec.serviceAccountName: is no name"}},
		{name: "a mounted token", manifest: podOf("containers: [{image: a}], automountServiceAccountToken: true"),
			want: []string{"spec.template.spec.automountServiceAccountToken: may only be false"}},
		{name: "no mounted token", manifest: podOf("containers: [{image: a}], automountServiceAccountToken: false")},
	})
}

func TestOnePortServesAndItsNameIsTheProtocol(t *testing.T) {
	run(t, []example{
		{name: "h2c", manifest: container("ports: [{name: h2c, containerPort: 9000}]")},
		{name: "http1", manifest: container("ports: [{name: http1}]")},
		{name: "another name", manifest: container("ports: [{name: web}]"), want: []string{c0 + ".ports[0].name: Port name is not allowed"}},
		{name: "two", manifest: container("ports: [{containerPort: 1}, {containerPort: 2}]"), want: []string{c0 + ".ports[1]: only a single port"}},
		{name: "one each", manifest: podOf("containers: [{image: a, ports: [{}]}, {image: b, ports: [{}]}]"),
			want: []string{"spec.template.spec.containers[1].ports[0]: only a single port"}},
		{name: "none of several", manifest: podOf("containers: [{image: a}, {image: b}]"), want: []string{c0 + ".ports: the container that takes the requests"}},
		{name: "out of range", manifest: container("ports: [{containerPort: 65536}]"), want: []string{c0 + ".ports[0].containerPort: 65535"}},
		{name: "UDP", manifest: container("ports: [{protocol: UDP}]"), want: []string{c0 + ".ports[0].protocol: TCP"}},
		{name: "a host port", manifest: container("ports: [{containerPort: 80, hostPort: 80}]"), want: []string{c0 + ".ports[0].hostPort: revisions do not have this field"}},
		{name: "several are off", manifest: podOf("containers: [{image: a, ports: [{}]}, {image: b}]"),
			features: map[string]string{"multi-container": "Disabled"}, want: []string{"spec.template.spec.containers: at most 1"}},
	})
	for _, port := range []string{"8008", "8012", "8013", "8022", "8112", "9090", "9091"} {
		run(t, []example{{name: "reserved " + port, manifest: container("ports: [{containerPort: " + port + "}]"),
			want: []string{c0 + ".ports[0].containerPort: reserved port"}}})
	}
}

func TestProbes(t *testing.T) {
	probing := on(config.MultiContainerProbing)
	const c1 = "spec.template.spec.containers[1]"
	run(t, []example{
		{name: "all kinds", manifest: container("readinessProbe: {httpGet: {path: /}}, livenessProbe: {exec: {command: [a]}}, startupProbe: {grpc: {port: 8080}}")},
		{name: "two ways", manifest: container("readinessProbe: {httpGet: {path: /}, tcpSocket: {}}"), want: []string{c0 + ".readinessProbe: expected exactly one way"}},
		{name: "no way", manifest: container("livenessProbe: {periodSeconds: 1}"), want: []string{c0 + ".livenessProbe: got neither"}},
		{name: "another port by name", manifest: container("readinessProbe: {httpGet: {port: admin}}"), want: []string{c0 + ".readinessProbe.httpGet.port: must match container port"}},
		{name: "the port by name", manifest: container("ports: [{name: h2c}], readinessProbe: {tcpSocket: {port: h2c}}")},
		{name: "another port by number", manifest: container("readinessProbe: {httpGet: {port: 9999}}")},
		{name: "bounds", manifest: container("readinessProbe: {tcpSocket: {}, periodSeconds: 1, failureThreshold: -1, timeoutSeconds: -1, successThreshold: -1, initialDelaySeconds: -1}"),
			want: []string{c0 + ".readinessProbe.failureThreshold: at least 1", c0 + ".readinessProbe.timeoutSeconds: at least 1",
				c0 + ".readinessProbe.successThreshold: at least 1", c0 + ".readinessProbe.initialDelaySeconds: at least 0"}},
		{name: "settings without a period", manifest: container("readinessProbe: {tcpSocket: {}, failureThreshold: 2, timeoutSeconds: 2}"),
			want: []string{c0 + ".readinessProbe.failureThreshold: periodSeconds is zero", c0 + ".readinessProbe.timeoutSeconds: periodSeconds is zero"}},
		{name: "beside the serving container", manifest: podOf("containers: [{image: a, ports: [{}]}, {image: b, readinessProbe: {tcpSocket: {port: 1}}}]"),
			want: []string{c1 + ".readinessProbe: multi-container-probing"}},
		{name: "beside, open", manifest: podOf("containers: [{image: a, ports: [{}]}, {image: b, readinessProbe: {tcpSocket: {port: 1}}}]"), features: probing},
		{name: "beside, without a port", manifest: podOf("containers: [{image: a, ports: [{}]}, {image: b, livenessProbe: {tcpSocket: {}}}]"), features: probing,
			want: []string{c1 + ".livenessProbe.tcpSocket.port: Probe port must be specified"}},
	})
}

func TestInitContainersRunBeforeAndAreNotProbed(t *testing.T) {
	const i0 = "spec.template.spec.initContainers[0]"
	manifest := podOf("containers: [{image: a, name: x}], initContainers: [{image: b, name: x, env: [{name: PORT}], readinessProbe: {tcpSocket: {}}}]")
	run(t, []example{
		{name: "off", manifest: podOf("containers: [{image: a}], initContainers: [{image: b}]"),
			want: []string{"spec.template.spec.initContainers: kubernetes.podspec-init-containers"}},
		{name: "merely allowed", manifest: podOf("containers: [{image: a}], initContainers: [{image: b}]"),
			features: map[string]string{"kubernetes.podspec-init-containers": "Allowed"},
			want:     []string{"spec.template.spec.initContainers: to Enabled"}},
		{name: "on", manifest: podOf("containers: [{image: a}], initContainers: [{image: b}]"), features: on(config.PodSpecInitContainers)},
		{name: "rules", manifest: manifest, features: on(config.PodSpecInitContainers),
			want: []string{i0 + ".name: Duplicate", i0 + ".readinessProbe: not allowed in an init container"}},
	})
}

func TestSecurityContexts(t *testing.T) {
	secure := map[string]string{"secure-pod-defaults": "AllowRootBounded"}
	const psc = "spec.template.spec.securityContext"
	run(t, []example{
		{name: "privileged", manifest: container("securityContext: {privileged: true}"), want: []string{c0 + ".securityContext.privileged: may only be false"}},
		{name: "not privileged", manifest: container("securityContext: {privileged: false}")},
		{name: "ids", manifest: container("securityContext: {runAsUser: -1, runAsGroup: 2147483648}"),
			want: []string{c0 + ".securityContext.runAsUser: 2147483647", c0 + ".securityContext.runAsGroup: 2147483647"}},
		{name: "a capability", manifest: container("securityContext: {capabilities: {add: [NET_ADMIN]}}"),
			want: []string{c0 + ".securityContext.capabilities.add: kubernetes.containerspec-addcapabilities"}},
		{name: "a capability, merely allowed", manifest: container("securityContext: {capabilities: {add: [NET_ADMIN]}}"),
			features: map[string]string{"kubernetes.containerspec-addcapabilities": "Allowed"},
			want:     []string{c0 + ".securityContext.capabilities.add: to Enabled"}},
		{name: "a capability, open", manifest: container("securityContext: {capabilities: {add: [NET_ADMIN]}}"), features: on(config.ContainerSpecAddCapabilities)},
		{name: "low ports in secure pods", manifest: container("securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}"), features: secure},
		{name: "others in secure pods", manifest: container("securityContext: {capabilities: {add: [NET_ADMIN]}}"), features: secure,
			want: []string{c0 + ".securityContext.capabilities.add: to Enabled"}},
		{name: "the pod's", manifest: podOf("containers: [{image: a}], securityContext: {runAsUser: 1}"), want: []string{psc + ": podspec-securitycontext"}},
		{name: "the pod's, open", manifest: podOf("containers: [{image: a}], securityContext: {runAsUser: -1, fsGroup: -1, supplementalGroups: [1, -1], sysctls: [{}]}"),
			features: on(config.PodSpecSecurityContext),
			want:     []string{psc + ".runAsUser: ", psc + ".fsGroup: ", psc + ".supplementalGroups[1]: ", psc + ".sysctls: revisions do not have"}},
		{name: "opting out of a secure pod", manifest: podOf("containers: [{image: a}], securityContext: {seccompProfile: {type: Unconfined}}"), features: secure},
		{name: "more than opting out", manifest: podOf("containers: [{image: a}], securityContext: {seccompProfile: {type: Localhost}, runAsUser: 1}"), features: secure,
			want: []string{psc + ".seccompProfile: may only be RuntimeDefault", psc + ".runAsUser: podspec-securitycontext"}},
	})
}
