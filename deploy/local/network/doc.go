// Package network is what an `ebb up` needs of the machine's network: a bridge for the pods, the rules around it and a few sysctls.
//
// In: the number of the pod network (Plan). Out: Up makes bridge ebbN with a fixed MAC address and lets packets pass between pods, host and,
// if there is a way out, the world; Down takes all of it away, with the chains kube-proxy made, and puts the sysctls back.
//
// Hard rule: what is about to be changed is written down first (Ledger), so that Down can undo it after any crash. A machine that already
// runs another kube-proxy is left alone.
package network
