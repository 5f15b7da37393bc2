// Package serving is the room of what a Service means.
//
// In: what users write (Services, Configurations, Routes, ConfigMaps) and what others report (Deployments, pods, PodAutoscalers, gateways).
// Out: children and statuses.
//
//	service        a Service → its Configuration and Route; their statuses → its own
//	configuration  a Configuration → a Revision for each generation; which of them is the latest ready one
//	revision       a Revision → its Deployment, PodAutoscaler and Service; how its replicas fare
//	  workload       what the three look like (pure)
//	  digest         what an image's tag means on the day the Revision is made
//	route          a Route → a KIngress and placeholder Services; hosts, splits
//	  rollout        traffic that moves to a new Revision in steps (pure)
//	labeler        which Routes refer to which Revisions
//	gc             Revisions that nobody refers to any more
//	ingress        a KIngress → the gateways; what they said → its status
//
// and beneath them
//
//	settings         the ConfigMaps in force
//	index, naming    how objects are found, and what they are called
//	apply, status    plans carried out, statuses written when it is time
//	readyourwrites   a cache that never lags behind its own client
//
// Each reconcile reads, decides and applies. Deciding is a pure function from objects to objects; its tests are YAML.
//
// Hard rule: reconcilers write children and status, nothing else. They are level-based and may be repeated at any time; what is as it
// should be costs no write, and nothing is written on the way of a request that wakes a revision.
package serving
