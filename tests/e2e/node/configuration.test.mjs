import { test } from "node:test";
import assert from "node:assert/strict";
import { accountSid, client, refused, settings } from "./client.mjs";

const PASSWORD = "Correct9HorseX";

test("a domain with its lists is made, read, changed and deleted", async () => {
  const domain = await client.sip.domains.create({
    domainName: "node.example.net",
    friendlyName: "From Node",
    voiceUrl: "https://app.example/voice",
  });
  assert.match(domain.sid, /^SD[0-9a-f]{32}$/);
  assert.ok(domain.dateCreated instanceof Date);
  const users = await client.sip.credentialLists.create({ friendlyName: "Phones" });
  const user = await client.sip
    .credentialLists(users.sid)
    .credentials.create({ username: "alice", password: PASSWORD });
  const acl = await client.sip.ipAccessControlLists.create({ friendlyName: "Office" });
  const address = await client.sip
    .ipAccessControlLists(acl.sid)
    .ipAddresses.create({ friendlyName: "router", ipAddress: "192.0.2.0", cidrPrefixLength: 24 });
  assert.equal(address.cidrPrefixLength, 24);

  const { auth } = client.sip.domains(domain.sid);
  await auth.calls.credentialListMappings.create({ credentialListSid: users.sid });
  await auth.calls.ipAccessControlListMappings.create({ ipAccessControlListSid: acl.sid });
  await auth.registrations.credentialListMappings.create({ credentialListSid: users.sid });
  const listed = await auth.calls.credentialListMappings.list();
  assert.deepEqual(listed.map((row) => row.sid), [users.sid]);
  const fetched = await client.sip.domains(domain.sid).fetch();
  assert.equal(fetched.authType, "IP_ACL,CREDENTIAL_LIST");

  const changed = await fetched.update({ sipRegistration: true, voiceMethod: "GET" });
  assert.equal(changed.sipRegistration, true);
  assert.equal(changed.voiceMethod, "GET");
  assert.deepEqual(await refused(client.sip.credentialLists(users.sid).remove()), [400, 21241]);

  assert.equal(await auth.calls.credentialListMappings(users.sid).remove(), true);
  assert.equal(await auth.calls.ipAccessControlListMappings(acl.sid).remove(), true);
  assert.equal(await auth.registrations.credentialListMappings(users.sid).remove(), true);
  assert.equal(await client.sip.credentialLists(users.sid).credentials(user.sid).remove(), true);
  assert.equal(await client.sip.credentialLists(users.sid).remove(), true);
  assert.equal(await client.sip.ipAccessControlLists(acl.sid).remove(), true);
  assert.equal(await client.sip.domains(domain.sid).remove(), true);
  assert.deepEqual(await refused(client.sip.domains(domain.sid).fetch()), [404, 20404]);
});

test("an application is made, read, changed and deleted", async () => {
  const made = await client.applications.create({
    friendlyName: "Phone Me",
    voiceUrl: "http://demo.example/docs/voice.xml",
    voiceMethod: "GET",
  });
  assert.equal((await client.applications(made.sid).fetch()).voiceMethod, "GET");
  await client.applications(made.sid).update({ friendlyName: "Phone You" });
  const listed = await client.applications.list({ friendlyName: "Phone You", limit: 20 });
  assert.deepEqual(listed.map((row) => row.sid), [made.sid]);
  assert.equal(await client.applications(made.sid).remove(), true);
});

test("the account knows itself", async () => {
  const account = await client.api.v2010.accounts(accountSid).fetch();
  assert.equal(account.sid, accountSid);
  assert.equal(account.status, "active");
});

test("many rows are paged through", async () => {
  const crowd = client.sip.credentialLists(settings.crowd).credentials;
  const all = await crowd.list({ pageSize: 5 });
  assert.equal(new Set(all.map((row) => row.username)).size, 23);
  assert.equal((await crowd.list({ limit: 7, pageSize: 3 })).length, 7);
  const seen = [];
  await new Promise((resolve, reject) =>
    crowd.each({ pageSize: 10, callback: (row) => seen.push(row.sid), done: (error) => (error ? reject(error) : resolve()) }),
  );
  assert.deepEqual(seen, all.map((row) => row.sid));
  const first = await crowd.page({ pageSize: 10 });
  const second = await first.nextPage();
  assert.equal(second.instances[0].sid, all[10].sid);
  assert.equal((await second.previousPage()).instances[0].sid, all[0].sid);
});
