package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The ids that the cloud gives.
const (
	vpcID     = "vpc-1"
	subnet1ID = "subnet-1"
	subnet2ID = "subnet-2"
	endpoint  = "https://shop.cloud.example.com"
)

// hop is a field that a value has to reach.
type hop struct {
	kind string
	path []string
	want string
	// seen is when it was there, since the change, and took how much later than at the hop before.
	seen, took time.Duration
}

func (h *hop) String() string { return h.kind + "/" + nested }

// outwards is the way of a subnet's id to the cluster of the cloud, back the way of its endpoint to the top.
func outwards() []*hop {
	subnets := fmt.Sprint([]string{subnet1ID, subnet2ID})

	return []*hop{
		{kind: kindNetwork, path: []string{"status", "privateSubnet1ID"}, want: subnet1ID},
		{kind: kindCluster, path: []string{"spec", "subnetIDs"}, want: subnets},
		{kind: cloudCluster, path: []string{"spec", "subnetIDs"}, want: subnets},
	}
}

func back() []*hop {
	return []*hop{
		{kind: kindCluster, path: []string{"status", "endpoint"}, want: endpoint},
		{kind: kindTop, path: []string{"status", "endpoint"}, want: endpoint},
		{kind: kindTop, path: []string{"status", "state"}, want: "ACTIVE"},
	}
}

// late makes an instance of three levels, plays the cloud behind it, and measures how its values travel.
func (s *story) late(ctx context.Context) error {
	s.screen.sayf("")
	if err := s.start(ctx); err != nil {
		return err
	}
	for _, kind := range []string{kindTop, kindNetwork, kindCluster, cloudVPC, cloudSubnet, cloudCluster} {
		if err := s.observe(ctx, thing(kind, "")); err != nil {
			return err
		}
	}
	s.screen.sayf("\n2. A value comes late and travels through three definitions\n")
	if err := s.wait(ctx); err != nil {
		return err
	}
	out, home := outwards(), back()
	if err := s.travel(ctx, thing(cloudSubnet, nested+"-private-1"), map[string]any{"subnetID": subnet1ID}, out); err != nil {
		return err
	}
	status := map[string]any{"phase": "ACTIVE", "endpoint": endpoint, "arn": "arn:" + nested}
	if err := s.travel(ctx, thing(cloudCluster, nested), status, home); err != nil {
		return err
	}
	drained := s.Clock.Now()
	if err := s.stop(ctx); err != nil {
		return err
	}
	took := s.Clock.Since(drained)
	if err := s.arrived(ctx, append(out, home...)); err != nil {
		return err
	}
	s.screen.sayf("\n  Every value has arrived, and every object was written once. The manager drained and gave its Lease back in %s.",
		elapsed(took))

	return nil
}

// wait makes the instance and gives it all but the last value.
func (s *story) wait(ctx context.Context) error {
	if err := s.make(ctx, "cluster-with-network/instance.yaml"); err != nil {
		return err
	}
	const last = `network.status.privateSubnet1ID matching "^subnet-"`
	if err := s.says(ctx, "network.status.privateSubnet2ID, "+last); err != nil {
		return err
	}
	for _, given := range []struct {
		object *unstructured.Unstructured
		status map[string]any
	}{
		{thing(cloudVPC, nested), map[string]any{"vpcID": vpcID}},
		{thing(cloudSubnet, nested+"-private-2"), map[string]any{"subnetID": subnet2ID}},
	} {
		if _, err := s.give(ctx, given.object, given.status); err != nil {
			return err
		}
	}

	return s.says(ctx, last)
}

// says waits until the top waits for exactly these fields, and shows its words.
func (s *story) says(ctx context.Context, fields string) error {
	begun := s.Clock.Now()
	want := `waiting for fields before "cluster": ` + fields
	err := s.when(ctx, "the top says that it is "+want, func() (bool, error) {
		o := thing(kindTop, nested)
		_, err := s.value(ctx, s.watched, o)

		return waitsFor(o) == want, err
	})
	if err != nil {
		return err
	}
	s.screen.sayf("  %s/%s is %s (%s)", kindTop, nested, want, elapsed(s.Clock.Since(begun)))

	return nil
}

// waitsFor is what an instance says of the fields that it waits for; empty when it waits for none.
func waitsFor(o *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, item := range conditions {
		c, _ := item.(map[string]any)
		if text, _ := c["message"].(string); c["type"] == "ResourcesReady" && c["reason"] == "WaitingForFields" {
			return strings.TrimPrefix(text, "resource reconciliation failed: ")
		}
	}

	return ""
}

// give plays the cloud: it waits for an object and writes its status. It returns when that was.
func (s *story) give(ctx context.Context, o *unstructured.Unstructured, status map[string]any) (time.Time, error) {
	name := o.GetKind() + "/" + o.GetName()
	err := s.when(ctx, name+" is there", func() (bool, error) {
		made, err := s.value(ctx, s.watched, o, "metadata", "uid")

		return made != "", err
	})
	if err != nil {
		return time.Time{}, err
	}
	body, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return time.Time{}, fmt.Errorf("encode the status of %s: %w", name, err)
	}
	given := s.Clock.Now()
	if err := s.client.Status().Patch(ctx, o, client.RawPatch(types.MergePatchType, body)); err != nil {
		return time.Time{}, fmt.Errorf("write the status of %s: %w", name, err)
	}

	return given, nil
}

// travel gives a status and shows when its value was seen at each hop, in their order.
func (s *story) travel(ctx context.Context, from *unstructured.Unstructured, status map[string]any, hops []*hop) error {
	s.screen.sayf("\n  The cloud gives %s/%s its status.\n", from.GetKind(), from.GetName())
	given, err := s.give(ctx, from, status)
	if err != nil {
		return err
	}
	rows := [][]string{{"WHERE", "FIELD", "VALUE", "SEEN AFTER", "HOP"}}
	before := time.Duration(0)
	for _, h := range hops {
		field := strings.Join(h.path, ".")
		err := s.when(ctx, fmt.Sprintf("%s has %s %s", h, field, h.want), func() (bool, error) {
			got, err := s.value(ctx, s.watched, thing(h.kind, nested), h.path...)

			return got == h.want, err
		})
		if err != nil {
			return err
		}
		h.seen = s.Clock.Since(given)
		h.took, before = h.seen-before, h.seen
		rows = append(rows, []string{h.String(), field, h.want, milliseconds(h.seen), milliseconds(h.took)})
	}
	s.screen.sayf("%s", strings.Join(columns(rows), "\n"))

	return nil
}

// arrived asks the server whether all values are where they should be, and were written there once.
func (s *story) arrived(ctx context.Context, hops []*hop) error {
	var problems []error
	for _, h := range hops {
		o := thing(h.kind, nested)
		got, err := s.value(ctx, s.client, o, h.path...)
		switch {
		case err != nil:
			return err
		case got != h.want:
			problems = append(problems, fmt.Errorf("%s has %s %q, want %q", h, strings.Join(h.path, "."), got, h.want))
		case o.GetGeneration() != 1:
			problems = append(problems, fmt.Errorf("%s was written anew: its generation is %d", h, o.GetGeneration()))
		}
	}

	return errors.Join(problems...)
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
} //nolint:mnd // µs in a ms
