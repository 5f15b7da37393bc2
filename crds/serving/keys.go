package serving

const (
	// GroupName is the API group of Service, Configuration, Revision and Route.
	GroupName = "serving.knative.dev"
	// SystemNamespace is where the ConfigMaps live.
	SystemNamespace = "knative-serving"
	// SidecarContainerName is the container of a replica's proxy, where it has one of its own. Users cannot take the name.
	SidecarContainerName = "queue-proxy"
)

// Labels that the system puts on what it makes.
const (
	// ServiceLabelKey names the Service a Configuration, Route, Revision or pod belongs to.
	ServiceLabelKey = GroupName + "/service"
	// ServiceUIDLabelKey is the UID of that Service, on pods.
	ServiceUIDLabelKey = GroupName + "/serviceUID"
	// ConfigurationLabelKey names the Configuration a Revision or pod was made by.
	ConfigurationLabelKey = GroupName + "/configuration"
	// ConfigurationUIDLabelKey is the UID of that Configuration, on pods.
	ConfigurationUIDLabelKey = GroupName + "/configurationUID"
	// ConfigurationGenerationLabelKey is the generation of the Configuration that a Revision was stamped from.
	ConfigurationGenerationLabelKey = GroupName + "/configurationGeneration"
	// RevisionLabelKey names the Revision that a child belongs to.
	RevisionLabelKey = GroupName + "/revision"
	// RevisionUIDLabelKey is the UID of that Revision.
	RevisionUIDLabelKey = GroupName + "/revisionUID"
	// RouteLabelKey names the Route that made a KIngress or placeholder Service.
	RouteLabelKey = GroupName + "/route"
	// RouteNamespaceLabelKey is that Route's namespace, on KIngresses.
	RouteNamespaceLabelKey = GroupName + "/routeNamespace"
	// RoutingStateLabelKey says whether a Revision is routed to: pending, active or reserve.
	RoutingStateLabelKey = GroupName + "/routingState"
	// DomainMappingUIDLabelKey is the UID of the DomainMapping that made a KIngress.
	DomainMappingUIDLabelKey = GroupName + "/domainMappingUID"
	// DomainMappingNamespaceLabelKey is that DomainMapping's namespace.
	DomainMappingNamespaceLabelKey = GroupName + "/domainMappingNamespace"
	// DeploymentHashLabelKey tells whether a child Deployment is up to date.
	DeploymentHashLabelKey = GroupName + "/deployment-hash"
)

// Annotations that the system writes.
const (
	// CreatorAnnotationKey is the user who created the resource. It never changes.
	CreatorAnnotationKey = GroupName + "/creator"
	// LastModifierAnnotationKey is the user who last changed the spec.
	LastModifierAnnotationKey = GroupName + "/lastModifier"
	// RoutesAnnotationKey lists, with commas, the Routes that refer to a Revision.
	RoutesAnnotationKey = GroupName + "/routes"
	// LastPinnedAnnotationKey is when a Route last pinned a Revision, in seconds since 1970.
	LastPinnedAnnotationKey = GroupName + "/lastPinned"
	// RoutingStateModifiedAnnotationKey is when the routing state last changed, as RFC 3339 in UTC.
	RoutingStateModifiedAnnotationKey = GroupName + "/routingStateModified"
)

// Annotations that users write. Those with two spellings take the first before the second.
const (
	// NoGCAnnotationKey keeps a Revision from being collected, with the value "true".
	NoGCAnnotationKey = GroupName + "/no-gc"
	// RolloutDurationAnnotationKey, on a Service or Route, is over how long traffic moves to a new latest revision: whole seconds.
	RolloutDurationAnnotationKey = GroupName + "/rollout-duration"
	// RolloutDurationAltAnnotationKey is the older spelling.
	RolloutDurationAltAnnotationKey = GroupName + "/rolloutDuration"
	// ProgressDeadlineAnnotationKey, on a revision template, is how long its Deployment may take: whole seconds.
	ProgressDeadlineAnnotationKey = GroupName + "/progress-deadline"
)

// ReplicaProxyAnnotationKey, on a revision template, is Ebb's own: where the Envoys of its replicas run, ReplicaProxyNode or
// ReplicaProxySidecar. It says more than the same label on the namespace, which says more than the platform's default.
const (
	ReplicaProxyAnnotationKey = "ebb.dev/replica-proxy"

	ReplicaProxyNode    = "node"
	ReplicaProxySidecar = "sidecar"
)

// Annotations on a revision template that size the replica's sidecar. Their values are quantities.
const (
	sidecar = "queue.sidecar." + GroupName

	SidecarCPURequestAnnotationKey              = sidecar + "/cpu-resource-request"
	SidecarCPULimitAnnotationKey                = sidecar + "/cpu-resource-limit"
	SidecarMemoryRequestAnnotationKey           = sidecar + "/memory-resource-request"
	SidecarMemoryLimitAnnotationKey             = sidecar + "/memory-resource-limit"
	SidecarEphemeralStorageRequestAnnotationKey = sidecar + "/ephemeral-storage-resource-request"
	SidecarEphemeralStorageLimitAnnotationKey   = sidecar + "/ephemeral-storage-resource-limit"

	// SidecarResourcePercentageAnnotationKey is the sidecar's share of the user container's resources, 0.1 to 100. Knative deprecated it.
	SidecarResourcePercentageAnnotationKey = sidecar + "/resource-percentage"
	// SidecarResourcePercentageAltAnnotationKey is the older spelling.
	SidecarResourcePercentageAltAnnotationKey = sidecar + "/resourcePercentage"
)

// Lookup returns the first of keys that is set in annotations, with its value.
func Lookup(annotations map[string]string, keys ...string) (key, value string, found bool) {
	for _, k := range keys {
		if v, ok := annotations[k]; ok {
			return k, v, true
		}
	}
	return "", "", false
}
