// Package localplane runs a real Kubernetes control plane on this machine without containers: etcd, the API
// server, the controller manager, the scheduler, and kwok, which plays the kubelets of fake nodes. They are child
// processes from a folder of binaries, listening on loopback only, with certificates made fresh at every start.
//
// A plane lives as long as the process that started it: when that process ends, however it ends, the kernel ends
// the children too. When one child dies the others are stopped and [Plane.Err] says which one it was.
package localplane
