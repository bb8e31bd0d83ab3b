package source

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var errUnexpected = errors.New("not an object with metadata")

func metaEachObject(list client.ObjectList, visit func(client.Object)) error {
	err := meta.EachListItem(list, func(item runtime.Object) error {
		obj, ok := item.(client.Object)
		if !ok {
			return fmt.Errorf("visit %T: %w", item, errUnexpected)
		}

		visit(obj)

		return nil
	})
	if err != nil {
		return fmt.Errorf("visit a list: %w", err)
	}

	return nil
}
