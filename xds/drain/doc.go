// Package drain takes replicas out of service without losing a request.
//
// In: which revision or pods; the ledger's ACKs, requests in flight as measured, requests held. Out: the store's Asleep and
// Draining flags, and word that it is done.
//
// Hard rule: first no gateway sends to it any more (every ACK is in), then what it was answering is answered, then it may
// go. Whoever changes his mind undoes it by the same flags.
package drain
