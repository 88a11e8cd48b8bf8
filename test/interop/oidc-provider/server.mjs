// Runs oidc-provider, and an API that accepts its access tokens, on a free loopback port.
//
// The first argument is a JSON object with the settings: clients, scopes, user, password, offline
// (the scope that requests a refresh token) and lifetime (of access tokens, in seconds). The first
// line of output is a JSON object with the port. The process exits when its standard input is
// closed, so it does not outlive the test that started it.

import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { Provider, errors } from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
const grantTypes = ['client_credentials', 'refresh_token', 'password'];
const requests = {}; // token requests by grant type, other requests by path
const refused = {}; // refused token requests by error code, refused API requests by path

const count = (counters, key) => { counters[key] = (counters[key] ?? 0) + 1; };

function newProvider(issuer) {
  const provider = new Provider(issuer, {
    clients: settings.clients.map(({ id, secret }) => ({
      client_id: id, client_secret: secret, grant_types: grantTypes, redirect_uris: [], response_types: [],
    })),
    clockTolerance: 0,
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      revocation: { enabled: true },
    },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    rotateRefreshToken: true,
    routes: { token: '/token', revocation: '/revoke', introspection: '/introspect' },
    scopes: ['offline_access', ...settings.scopes], // offline_access enables the refresh token grant
    ttl: {
      AccessToken: settings.lifetime, ClientCredentials: settings.lifetime, Grant: 86400, RefreshToken: 86400,
    },
  });
  provider.registerGrantType('password', (ctx) => passwordGrant(provider, ctx), ['username', 'password', 'scope']);
  provider.use(countRequests);
  return provider;
}

// passwordGrant implements RFC 6749 section 4.3, which oidc-provider does not.
async function passwordGrant(provider, ctx) {
  const { client, params } = ctx.oidc;
  if (params.username !== settings.user || params.password !== settings.password) {
    throw new errors.InvalidGrant('wrong user or password');
  }
  const grant = new provider.Grant({ clientId: client.clientId, accountId: params.username });
  if (params.scope) grant.addOIDCScope(params.scope);
  const common = {
    accountId: params.username, client, grantId: await grant.save(), gty: 'password', scope: params.scope,
  };
  const token = new provider.AccessToken(common);
  ctx.body = { access_token: await token.save(), expires_in: token.expiration, token_type: token.tokenType };
  if (params.scope?.split(' ').includes(settings.offline)) {
    ctx.body.refresh_token = await new provider.RefreshToken(common).save();
  }
}

async function countRequests(ctx, next) {
  await next();
  if (ctx.path !== '/token') {
    count(requests, ctx.path);
    return;
  }
  count(requests, ctx.oidc.params.grant_type);
  if (ctx.body.error) count(refused, ctx.body.error);
}

// findToken returns a valid access token of any grant, or undefined.
const findToken = (provider, token) => Promise.all(
  [provider.AccessToken, provider.ClientCredentials].map((kind) => kind.find(token)),
).then((found) => found.find(Boolean));

// serveOther serves the paths that are not oidc-provider's: the API, which echoes the request's
// body, and the paths that only the test uses.
async function serveOther(provider, req, res) {
  const body = await text(req);
  switch (req.url) {
    case '/test/counts':
      res.end(JSON.stringify({ requests, refused }));
      return;
    case '/test/revoke': // revokes one access token and nothing else
      await (await findToken(provider, body))?.destroy();
      res.end();
      return;
    default:
      count(requests, '/api/');
  }
  if (await findToken(provider, req.headers.authorization?.replace(/^Bearer /, ''))) {
    res.end(body);
    return;
  }
  count(refused, '/api/');
  res.writeHead(401, { 'WWW-Authenticate': 'Bearer error="invalid_token"' }).end('no');
}

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const provider = newProvider(`http://127.0.0.1:${port}`);
  const serve = provider.callback();
  server.on('request', (req, res) => {
    if (!/^\/(api|test)\//.test(req.url)) {
      serve(req, res);
      return;
    }
    serveOther(provider, req, res).catch((err) => res.destroy(err));
  });
  console.log(JSON.stringify({ port }));
});

process.stdin.resume().on('end', () => process.exit());
