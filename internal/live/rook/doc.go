// Package rook translates what objects of Rook ask for into LiveStores and LiveConfigs, and decides what is to be written:
// the fields cephConfigFromSecret and rgwConfigFromSecret, the list of monitors, and the Secret with the login.
//
// It is values in, values out. Of a Secret it looks at names of keys, and at a value only to tell a placeholder from a
// login; it keeps none.
package rook
