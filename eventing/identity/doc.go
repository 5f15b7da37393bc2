// Package identity is as whom Triggers, Subscriptions and sources send: a ServiceAccount of their own, and its tokens.
//
// In: an object that sends, the feature authentication-oidc, the audience of whoever receives. Out: a ServiceAccount that the object owns
// and names in its status, and tokens of it.
//
// Hard rule: nobody sends as somebody else. An account that does not belong to the object is not used for it, and a token is of one account
// and for one audience.
package identity
