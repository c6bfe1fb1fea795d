// Sessions of a Vestibule gateway over plain HTTP, in Go: nothing but net/http.
//
//	VESTIBULE_URL=http://127.0.0.1:9000 VESTIBULE_TOKEN=vst_admin_… go run main.go USER_ID HOST
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"time"
)

type Session struct {
	ID         string         `json:"id"`
	UserID     string         `json:"user_id"`
	Host       string         `json:"host"`
	ExpiresAt  time.Time      `json:"expires_at"`
	Attributes map[string]any `json:"attributes"`
	Version    int            `json:"version"`
	Bearer     string         `json:"bearer"` // only where it was just made
	Active     bool           `json:"active"` // only of Introspect
}

// Refused is what the service answers to what it does not do: a code for programs, a detail for people.
type Refused struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (r *Refused) Error() string { return fmt.Sprintf("%d %s: %s", r.Status, r.Code, r.Detail) }

type Client struct {
	Base, Token string
	HTTP        *http.Client
}

func (c *Client) call(method, path, ifMatch string, body, into any) error {
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequest(method, c.Base+"/api/v1/sessions"+path, &sent)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.Token)
	request.Header.Set("Content-Type", "application/json")
	if ifMatch != "" {
		request.Header.Set("If-Match", ifMatch)
	}
	answer, err := c.HTTP.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		refused := &Refused{Status: answer.StatusCode}
		if err := json.NewDecoder(answer.Body).Decode(refused); err != nil {
			return err
		}
		return refused
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

func (c *Client) Create(userID, host string, attributes map[string]any) (made Session, err error) {
	wanted := map[string]any{"user_id": userID, "host": host, "attributes": attributes}
	return made, c.call("POST", "", "", wanted, &made)
}

func (c *Client) Get(id string) (found Session, err error) {
	return found, c.call("GET", "/"+url.PathEscape(id), "", nil, &found)
}

// Introspect says whose a bearer is; Active is false where it is nobody's.
func (c *Client) Introspect(bearer string) (whose Session, err error) {
	return whose, c.call("POST", "/introspect", "", map[string]any{"bearer": bearer, "touch": true}, &whose)
}

// Update changes the attributes by what change makes of them, also when others write at the same time.
func (c *Client) Update(id string, change func(map[string]any) map[string]any) (Session, error) {
	for {
		read, err := c.Get(id)
		if err != nil {
			return read, err
		}
		var written Session
		etag := fmt.Sprintf("%q", fmt.Sprint(read.Version))
		err = c.call("PATCH", "/"+url.PathEscape(id), etag, map[string]any{"attributes": change(read.Attributes)}, &written)
		var refused *Refused
		if !errors.As(err, &refused) || refused.Code != "changed" {
			return written, err
		}
	}
}

// List has all sessions of a user, fetched page by page.
func (c *Client) List(userID string) (found []Session, err error) {
	query := url.Values{"user_id": {userID}, "limit": {"2"}}
	for {
		var page struct {
			Items []Session `json:"items"`
			Next  *string   `json:"next"`
		}
		if err := c.call("GET", "?"+query.Encode(), "", nil, &page); err != nil {
			return nil, err
		}
		found = append(found, page.Items...)
		if page.Next == nil {
			return found, nil
		}
		query.Set("cursor", *page.Next)
	}
}

func (c *Client) End(id string) error { return c.call("DELETE", "/"+url.PathEscape(id), "", nil, nil) }

func main() {
	userID, host := os.Args[1], os.Args[2]
	client := &Client{
		Base:  os.Getenv("VESTIBULE_URL"),
		Token: os.Getenv("VESTIBULE_TOKEN"),
		HTTP:  &http.Client{Timeout: 10 * time.Second},
	}

	// 1. A session for somebody who has signed in before. The bearer is told this once: it is for its holder alone.
	made := must(client.Create(userID, host, map[string]any{"cart": 1}))

	// 2. Whose is what a client has shown?
	whose := must(client.Introspect(made.Bearer))
	fmt.Println("active", whose.Active, "cart", whose.Attributes["cart"])

	// 3. Some values of one's own, at most 4 KiB.
	changed := must(client.Update(made.ID, func(attributes map[string]any) map[string]any {
		return map[string]any{"cart": attributes["cart"].(float64) + 1}
	}))
	fmt.Println("cart", changed.Attributes["cart"])

	// 4. Where is this person signed in?
	listed := false
	for _, session := range must(client.List(userID)) {
		listed = listed || session.ID == made.ID
	}
	fmt.Println("listed", listed)

	// 5. Signed out, at once and everywhere.
	if err := client.End(made.ID); err != nil {
		log.Fatal(err)
	}
	fmt.Println("active", must(client.Introspect(made.Bearer)).Active)

	// 6. What is refused has a code.
	var refused *Refused
	if _, err := client.Get(made.ID); errors.As(err, &refused) {
		fmt.Println("refused", refused.Status, refused.Code)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
