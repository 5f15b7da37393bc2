// Package bench is where Ebb is measured, each figure beside a peer of the same run on the same machine.
//
//	cmd/ebb-bench   runs sections, writes what they found
//	testbed         one platform of `ebb up`, driven as a process
//	coldstart       zero to first answer, by phase, against the same pod started bare
//	warmpath        a request to a warm service, against plain Envoys
//	burst           many requests at once from zero, against the ideal schedule
//	memory          what is resident, and the processor time of doing nothing
//	writes          what a Service costs the API server
//	events          what the event broker accepts and delivers, and what it costs
//	peers           what the event broker is compared with
//	load            the load generator, in a process of its own
//	processes       /proc: trees, memory, processor time
//	stats           quantiles and histograms
//	report          JSON, Markdown and plots
//
// Hard rule: a peer is measured in the same run, in turns with what it is compared to; absolute numbers are never compared
// across runs.
package bench
