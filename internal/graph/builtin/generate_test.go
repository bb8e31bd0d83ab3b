package builtin

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	openapiclient "k8s.io/client-go/openapi"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/lockstep-dev/lockstep/internal/graph/openapi"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

// update is the flag with which hack/openapi writes the embedded schemas.
const update = "update"

// customGroup is the group of the kind that a test defines on the plane.
const customGroup = "live.test"

func TestMain(m *testing.M) {
	flag.Bool(update, false, "write the embedded schemas as the plane tells them")
	flag.Parse()
	os.Exit(plane.Main(m))
}

// Not parallel: no other test may define a kind meanwhile.
func TestTheEmbeddedSchemasAreThoseOfTheServer(t *testing.T) {
	want, err := generate(discovery.NewDiscoveryClientForConfigOrDie(plane.Config(t)))
	if err != nil {
		t.Fatal(err)
	}

	written, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}

	if flag.Lookup(update).Value.String() == "true" {
		if err := os.WriteFile("schemas.json.gz", pack(t, written), 0o600); err != nil {
			t.Fatal(err)
		}

		return
	}

	reader, err := gzip.NewReader(bytes.NewReader(embedded))
	if err != nil {
		t.Fatal(err)
	}

	// Unpacked, as another version of Go may pack another way.
	got, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}

	if !bytes.Equal(got, written) {
		t.Errorf("the embedded schemas (%d bytes) are not those of the server (%d bytes): run hack/openapi", len(got), len(written))
	}
}

// pack compresses as well as it can, and the same way each time: the header names no file and no time.
func pack(t *testing.T, data []byte) []byte {
	t.Helper()

	var packed bytes.Buffer

	writer, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := writer.Write(data); err != nil {
		t.Fatal(err)
	}

	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}

	return packed.Bytes()
}

// generate asks a server for what is to be embedded.
func generate(server discovery.DiscoveryInterface) (*content, error) {
	_, lists, err := server.ServerGroupsAndResources()
	if err != nil {
		return nil, fmt.Errorf("ask for the resources: %w", err)
	}

	paths, err := server.OpenAPIV3().Paths()
	if err != nil {
		return nil, fmt.Errorf("ask for the documents: %w", err)
	}

	c := &content{Kinds: map[string]map[string]resource{}, Definitions: map[string]json.RawMessage{}}

	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("read the resources: %w", err)
		}

		if gv.Group == customGroup { // of an earlier run of the other tests
			continue
		}

		document, err := documentOf(paths, gv)
		if err != nil {
			return nil, err
		}

		kinds := map[string]resource{}

		for _, r := range list.APIResources {
			if strings.Contains(r.Name, "/") {
				continue
			}

			found := resource{Plural: r.Name, Namespaced: r.Namespaced, Definition: document.Definition(gv.WithKind(r.Kind))}
			kinds[r.Kind] = found

			if err := c.add(document, found.Definition); err != nil {
				return nil, fmt.Errorf("take over %s: %w", gv.WithKind(r.Kind), err)
			}
		}

		c.Kinds[list.GroupVersion] = kinds
	}

	return c, nil
}

func documentOf(paths map[string]openapiclient.GroupVersion, gv schema.GroupVersion) (*openapi.Document, error) {
	path := "apis/" + gv.String()
	if gv.Group == "" {
		path = "api/" + gv.Version
	}

	served, ok := paths[path]
	if !ok {
		return nil, fmt.Errorf("ask for the document %s: there is none among %v", path, slices.Sorted(maps.Keys(paths)))
	}

	raw, err := served.Schema("application/json")
	if err != nil {
		return nil, fmt.Errorf("ask for the document %s: %w", path, err)
	}

	return openapi.Parse(raw)
}

// add takes over a definition and all that it refers to.
func (c *content) add(document *openapi.Document, name string) error {
	s, err := document.Decode(name)
	if err != nil {
		return err
	}

	raw, err := s.MarshalJSON()
	if err != nil {
		return fmt.Errorf("write the definition %s: %w", name, err)
	}

	if former, ok := c.Definitions[name]; ok {
		if !bytes.Equal(former, raw) {
			return errors.New("two group-versions have different definitions of " + name)
		}

		return nil
	}

	c.Definitions[name] = raw

	return c.follow(document, s)
}

func (c *content) follow(document *openapi.Document, s *spec.Schema) error {
	if name, ok := openapi.Reference(s); ok {
		return c.add(document, name)
	}

	return openapi.Each(s, func(child *spec.Schema) error { return c.follow(document, child) })
}
